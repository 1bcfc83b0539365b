import { shallowReactive } from 'vue'

import { getProducts } from './api.js'
import { createCart } from './cart.js'

/** Storage that forgets, for browsers that forbid the real one. */
function memory() {
  const items = new Map()
  return { getItem: (key) => items.get(key) ?? null, setItem: (key, value) => items.set(key, value) }
}

function storage() {
  try {
    window.localStorage.getItem('')
    return window.localStorage
  } catch {
    return memory()
  }
}

export const cart = createCart(storage())
window.addEventListener('storage', () => cart.reload())

/** The range as the shop last told it; shown at once when one comes back to the list. */
export const range = shallowReactive({ products: [] })

export async function loadRange() {
  const { products, terms } = await getProducts()
  range.products = products
  cart.refresh(products, terms)
}
