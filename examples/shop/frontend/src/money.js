const formats = new Map()

/** An amount in minor units as people write it: 18900 becomes €189.00. */
export function money(minor, currency = 'EUR') {
  if (!formats.has(currency)) {
    formats.set(currency, new Intl.NumberFormat('en-IE', { style: 'currency', currency }))
  }
  return formats.get(currency).format(minor / 100)
}
