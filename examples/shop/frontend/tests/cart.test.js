import { describe, expect, it } from 'vitest'

import { MOST_OF_ONE, add, createCart, parse, setQuantity, totals } from '../src/cart.js'
import { hue } from '../src/answers.js'
import { money } from '../src/money.js'

const bell = { slug: 'sparrow-bell', name: 'Sparrow bell', price: 2400, art: 'bell', stock: 80 }
const wheel = { slug: 'meridian-wheel', name: 'Meridian touring wheel', price: 18900, art: 'wheel', stock: 14 }
const terms = { currency: 'EUR', shipping: 490, free_shipping_from: 10000 }

function storageWith(items = {}) {
  const map = new Map(Object.entries(items))
  return { getItem: (key) => map.get(key) ?? null, setItem: (key, value) => map.set(key, value) }
}

describe('lines', () => {
  it('grow by one for a new product and by quantity for a known one', () => {
    const lines = add(add(add([], bell), wheel), bell, 2)
    expect(lines.map((line) => [line.slug, line.quantity])).toEqual([['sparrow-bell', 3], ['meridian-wheel', 1]])
  })

  it('never hold more of one product than the shop sells at once', () => {
    expect(add(add([], bell, 15), bell, 15)[0].quantity).toBe(MOST_OF_ONE)
    expect(setQuantity(add([], bell), bell.slug, 99)[0].quantity).toBe(MOST_OF_ONE)
  })

  it('lose a product whose quantity becomes nothing', () => {
    expect(setQuantity(add(add([], bell), wheel), bell.slug, 0).map((line) => line.slug)).toEqual(['meridian-wheel'])
  })

  it('are not changed in place', () => {
    const before = add([], bell)
    add(before, bell)
    setQuantity(before, bell.slug, 7)
    expect(before[0].quantity).toBe(1)
  })
})

describe('totals', () => {
  it('add shipping below the limit', () => {
    expect(totals(add([], bell, 2), terms)).toEqual({ count: 2, subtotal: 4800, shipping: 490, total: 5290 })
  })

  it('ship free from the limit on, exactly', () => {
    const lines = [{ ...bell, price: 5000, quantity: 2 }]
    expect(totals(lines, terms).shipping).toBe(0)
    expect(totals([{ ...bell, price: 9999, quantity: 1 }], terms).shipping).toBe(490)
  })

  it('are nothing for an empty cart', () => {
    expect(totals([], terms)).toEqual({ count: 0, subtotal: 0, shipping: 0, total: 0 })
  })
})

describe('a stored cart', () => {
  it('comes back in a new page', () => {
    const storage = storageWith()
    createCart(storage).add(bell, 3)
    expect(createCart(storage).totals.value.count).toBe(3)
  })

  it.each(['', 'null', '{', '"x"', '{"a":1}', '[null, 7, {"slug":"a"}]', '[{"slug":"a","name":"A","price":1,"quantity":-1}]'])(
    'survives nonsense: %s',
    (text) => expect(parse(text)).toEqual([]),
  )

  it('takes over the prices and terms of the shop', () => {
    const cart = createCart(storageWith())
    cart.add(bell)
    cart.refresh([{ ...bell, price: 2600 }], { ...terms, shipping: 100 })
    expect(cart.totals.value).toEqual({ count: 1, subtotal: 2600, shipping: 100, total: 2700 })
  })

  it('is empty after an order, in storage too', () => {
    const storage = storageWith()
    const cart = createCart(storage)
    cart.add(bell)
    cart.empty()
    expect(createCart(storage).totals.value.count).toBe(0)
  })
})

it('writes money as people do', () => {
  expect(money(18900)).toBe('€189.00')
  expect(money(490, 'EUR')).toBe('€4.90')
})

it('gives neighbouring slots different colours', () => {
  expect(new Set(['backend-1', 'backend-2', 'backend-3'].map(hue)).size).toBe(3)
})
