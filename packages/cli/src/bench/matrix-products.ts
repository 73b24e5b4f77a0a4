import { causalParameters, type DecoderConfig } from "@plumbline/models"
import { linear, type Tensor2D, tf } from "@plumbline/runtime"
import { deviceNoise } from "./noise.ts"
import { median, secondsOf } from "./timing.ts"

/** [m, k]·[k, n], `count` times a step. */
export interface Product {
  readonly m: number
  readonly n: number
  readonly k: number
  readonly count: number
}

/** The matrix products of a training step on `tokens` tokens: of each linear layer one forward and two backward. */
export const stepProducts = (config: DecoderConfig, tokens: number): ReadonlyArray<Product> => {
  const layers = new Map<string, { readonly inputs: number; readonly outputs: number; count: number }>()
  for (const { name, shape } of causalParameters(config)) {
    const lookedUp = !config.tiedEmbeddings && name === `${config.family.names.embedding}.weight`
    if (shape.length !== 2 || lookedUp) continue
    const [outputs, inputs] = shape as [number, number]
    const key = `${outputs}×${inputs}`
    const known = layers.get(key) ?? { inputs, outputs, count: 0 }
    known.count += 1
    layers.set(key, known)
  }
  return [...layers.values()].flatMap(({ count, inputs, outputs }) => [
    { m: tokens, n: outputs, k: inputs, count },
    { m: tokens, n: inputs, k: outputs, count },
    { m: outputs, n: inputs, k: tokens, count }
  ])
}

/** Rows a product is timed on at most: more of them are no faster, and take memory. */
const MOST_ROWS = 2048

export interface ProductTimes {
  /** Times each product once more; between two steps, so that steps and products see the same machine. */
  readonly run: () => void
  /** FLOP/s over the products of a step, each by its median time. */
  readonly rate: () => number
  readonly dispose: () => void
}

/** Inner axis of the products that operands are made by. */
const RANK = 16

/** Times `tf.matMul` on the products of a training step, of operands that are stored as activations are. */
export const timeProducts = (config: DecoderConfig, tokens: number): ProductTimes => {
  const noise = deviceNoise(1)
  const normal = (rows: number) => noise.normal([rows, RANK], 1) as Tensor2D
  const products = stepProducts(config, Math.min(tokens, MOST_ROWS))
  const times = products.map((): Array<number> => [])
  const timeOne = ({ k, m, n }: Product): number =>
    tf.tidy(() => {
      const [a, b] = [linear(normal(m), normal(k)), linear(normal(k), normal(n))]
      // the first product may do what later ones keep: pack an operand, choose an algorithm, take memory
      settle(tf.matMul(a, b))
      return secondsOf(() => settle(tf.matMul(a, b)))
    })
  return {
    run: () => products.forEach((product, i) => times[i]!.push(timeOne(product))),
    rate: () => {
      const flops = products.reduce((sum, { count, k, m, n }) => sum + count * 2 * m * n * k, 0)
      return flops / products.reduce((sum, { count }, i) => sum + count * median(times[i]!), 0)
    },
    dispose: noise.dispose
  }
}

/** Waits until a matrix is there: devices compute while the host goes on. */
const settle = (matrix: Tensor2D): void => void tf.slice(matrix, [0, 0], [1, 1]).dataSync()
