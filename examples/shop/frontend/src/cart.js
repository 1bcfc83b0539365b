import { computed, reactive, watch } from 'vue'

export const MOST_OF_ONE = 20

const isLine = (line) =>
  typeof line?.slug === 'string' &&
  typeof line.name === 'string' &&
  Number.isInteger(line.price) &&
  Number.isInteger(line.quantity) &&
  line.quantity > 0

/** The lines that were stored, without whatever makes no sense in them. */
export function parse(text) {
  try {
    const lines = JSON.parse(text)
    return Array.isArray(lines) ? lines.filter(isLine) : []
  } catch {
    return []
  }
}

/** The lines with so many more of a product. */
export function add(lines, product, quantity = 1) {
  const found = lines.find((line) => line.slug === product.slug)
  if (found) return setQuantity(lines, product.slug, found.quantity + quantity)
  const { slug, name, price, art } = product
  return [...lines, { slug, name, price, art, quantity: clamp(quantity) }]
}

/** The lines with another quantity of one product; 0 takes it out. */
export function setQuantity(lines, slug, quantity) {
  if (quantity < 1) return lines.filter((line) => line.slug !== slug)
  return lines.map((line) => (line.slug === slug ? { ...line, quantity: clamp(quantity) } : line))
}

/** What the order will cost, reckoned as the shop does it. */
export function totals(lines, terms) {
  const count = lines.reduce((sum, line) => sum + line.quantity, 0)
  const subtotal = lines.reduce((sum, line) => sum + line.price * line.quantity, 0)
  const free = subtotal === 0 || subtotal >= terms.free_shipping_from
  const shipping = free ? 0 : terms.shipping
  return { count, subtotal, shipping, total: subtotal + shipping }
}

const clamp = (quantity) => Math.min(Math.max(Math.trunc(quantity), 1), MOST_OF_ONE)

/** A cart that is kept in `storage` and follows what other tabs put there. */
export function createCart(storage, key = 'freewheel.cart') {
  const state = reactive({ lines: parse(storage.getItem(key)), terms: parseTerms(storage.getItem(`${key}.terms`)) })
  watch(
    () => state.lines,
    (lines) => storage.setItem(key, JSON.stringify(lines)),
    { flush: 'sync' },
  )
  return {
    state,
    totals: computed(() => totals(state.lines, state.terms)),
    add: (product, quantity) => (state.lines = add(state.lines, product, quantity)),
    setQuantity: (slug, quantity) => (state.lines = setQuantity(state.lines, slug, quantity)),
    empty: () => (state.lines = []),
    /** Take over the shop's terms and prices: what was stored may be from last year. */
    refresh(products, terms) {
      state.terms = terms
      storage.setItem(`${key}.terms`, JSON.stringify(terms))
      const bySlug = new Map(products.map((product) => [product.slug, product]))
      const price = (line) => bySlug.get(line.slug)?.price ?? line.price
      if (state.lines.some((line) => price(line) !== line.price)) {
        state.lines = state.lines.map((line) => ({ ...line, price: price(line) }))
      }
    },
    reload: () => (state.lines = parse(storage.getItem(key))),
  }
}

function parseTerms(text) {
  const usual = { currency: 'EUR', shipping: 490, free_shipping_from: 10000 }
  try {
    return { ...usual, ...JSON.parse(text) }
  } catch {
    return usual
  }
}
