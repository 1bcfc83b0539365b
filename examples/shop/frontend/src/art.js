const drawings = import.meta.glob('./art/*.svg', { eager: true, query: '?url', import: 'default' })

/** The address of a product's drawing; the wheel stands in for one we do not have. */
export const art = (name) => drawings[`./art/${name}.svg`] ?? drawings['./art/wheel.svg']
