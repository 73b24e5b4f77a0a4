import { ADD_PRODUCT } from "../kernels/names.ts"
import { addProduct } from "../ops/add-product.ts"
import { composedLinear, linears } from "../ops/linear.ts"
import { tf, type Tensor2D } from "../tf.ts"
import { type DifferentiableCase, differentiableSuite } from "./differentiable-suite.ts"
import { layersOf, type Make, tokensOf, widthOf } from "./random-shapes.ts"
import { beside, noise } from "./tensors.ts"

const SCALE = -1.5

const composedLinears: typeof linears = (x, weights) => weights.map(([weight]) => composedLinear(x, weight))
const composedAddProduct: typeof addProduct = (sum, x, weight, scale) =>
  tf.add(sum, tf.mul(composedLinear(x, weight), scale))

/** An adapter as it lies on a group of layers: onto columns of one product, with two gradients of one input. */
const onProducts =
  (products: typeof linears, add: typeof addProduct) =>
  (x: Tensor2D, left: Tensor2D, right: Tensor2D, down: Tensor2D, up: Tensor2D) =>
    tf.tidy(() => {
      const [first, second] = products(x, [
        [down, undefined],
        [tf.mul(down, 2), undefined]
      ])
      const [sum, other] = products(x, [
        [left, undefined],
        [right, undefined]
      ])
      return beside([add(sum!, first!, up, SCALE), other!, second!])
    })

interface Sizes {
  readonly rows: number
  readonly width: number
  readonly outputs: number
  readonly rank: number
}

/** A matrix whose products, and those of its transpose, with unit normal numbers are at most unit normal. */
const matrix = (name: string, height: number, columns: number) =>
  tf.div(noise([height, columns], name), Math.sqrt(Math.max(height, columns)))

const ontoProducts = ({ outputs, rank, rows, width }: Sizes) => ({
  kernel: ADD_PRODUCT,
  inputs: () => [
    noise([rows, width], "x"),
    matrix("left", outputs, width),
    matrix("right", outputs + 3, width),
    matrix("down", rank, width),
    matrix("up", outputs, rank)
  ],
  op: onProducts(linears, addProduct),
  composed: onProducts(composedLinears, composedAddProduct)
})

const addProducts: Make = (draw) => {
  const sizes = { rows: tokensOf(draw), width: widthOf(draw), outputs: widthOf(draw), rank: draw.one([1, 8]) }
  const { outputs, rank, rows, width } = sizes
  return { shape: `[${rows}, ${width}] → ${outputs} by ${rank}`, activations: 1, ...ontoProducts(sizes) }
}

export const addProductCases = layersOf({ addProduct: addProducts })

const smallCases: ReadonlyArray<DifferentiableCase> = [
  {
    title: "addProduct onto numbers that another tensor holds",
    kernel: ADD_PRODUCT,
    inputs: () => [noise([3, 4], "sum"), noise([3, 2], "x"), matrix("weight", 4, 2)],
    op: (sum: Tensor2D, x: Tensor2D, weight: Tensor2D) => {
      const held = tf.clone(sum)
      const added = addProduct(sum, x, weight, SCALE)
      held.dispose()
      return added
    },
    composed: (sum: Tensor2D, x: Tensor2D, weight: Tensor2D) => composedAddProduct(sum, x, weight, SCALE),
    small: true
  },
  { title: "addProduct onto products", ...ontoProducts({ rows: 3, width: 6, outputs: 4, rank: 2 }), small: true }
]

/** What adapters do to the products that they sit on. */
export const addProductSuite = (): void => differentiableSuite(smallCases)
