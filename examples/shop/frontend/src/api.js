import { noteAnswer } from './answers.js'

// Same origin unless the API has a name of its own: VITE_API_BASE=https://api.example.com
const BASE = (import.meta.env.VITE_API_BASE ?? '').replace(/\/+$/, '')
const PATIENCE = 20_000

/** An answer that is not what was asked for; `status` is 0 when there was no answer at all. */
export class ApiError extends Error {
  constructor(message, status, body = {}) {
    super(message)
    this.status = status
    this.body = body
  }
}

async function ask(path, options = {}) {
  const start = performance.now()
  let response
  try {
    response = await fetch(`${BASE}/api/${path}`, { ...options, signal: AbortSignal.timeout(PATIENCE) })
  } catch {
    throw new ApiError('The shop cannot be reached. Check your connection and try again.', 0)
  }
  noteAnswer(response.headers, performance.now() - start)
  const body = await response.json().catch(() => ({}))
  if (!response.ok) throw new ApiError(body.error ?? `The shop answered ${response.status}.`, response.status, body)
  return body
}

export const getProducts = () => ask('products/')
export const getProduct = (slug) => ask(`products/${encodeURIComponent(slug)}/`)
export const getOrder = (number) => ask(`orders/${encodeURIComponent(number)}/`)
export const whoAmI = () => ask('whoami')

/** Place an order; the key lets the shop see that a second attempt is the same order. */
export const placeOrder = (order, key) =>
  ask('orders/', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'Idempotency-Key': key },
    body: JSON.stringify(order),
  })
