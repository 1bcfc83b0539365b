import { reactive } from 'vue'

const KEPT = 12

/** The last answers of the API, newest last: which backend gave each, and how fast. */
export const answers = reactive([])

/** Note who answered, from the headers that every answer of the shop carries. */
export function noteAnswer(headers, milliseconds) {
  const backend = headers.get('X-Shop-Backend')
  if (!backend) return
  answers.push({
    id: (answers.at(-1)?.id ?? 0) + 1,
    backend,
    release: headers.get('X-Shop-Release') ?? '',
    server: headers.get('X-Shop-Server') ?? '',
    milliseconds: Math.max(1, Math.round(milliseconds)),
  })
  if (answers.length > KEPT) answers.shift()
}

/** A colour number from 0 to 5 that stays the same for a backend: its slot's number, if it has one. */
export function hue(backend) {
  const number = /(\d+)$/.exec(backend)
  return number ? (Number(number[1]) - 1 + 6) % 6 : 0
}
