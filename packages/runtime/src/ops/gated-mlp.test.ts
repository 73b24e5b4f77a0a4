import { addonPath, type Kernel, registerTorchKernel } from "@plumbline/tfjs-backend-torch"
import { Effect } from "effect"
import { beforeAll, describe, it } from "vitest"
import { GATED_MLP, GATED_MLP_GRADIENT } from "../kernels/names.ts"
import { ModelRuntime } from "../model-runtime.ts"
import { expectClose, gradientsOf, leavesNothing, noise, type Op, wave } from "../testing/tensors.ts"
import { tf, type Tensor, type Tensor2D } from "../tf.ts"
import { gatedActivation } from "./activation.ts"
import { gatedMlp } from "./gated-mlp.ts"
import { linear, linears } from "./linear.ts"

type Inputs = Readonly<Record<string, Tensor>>

/** What the kernels of CUDA give, composed: this process has no other use for their names. */
const forward: Kernel = ({ down, gate, up, x }: Inputs) => {
  const [g, u] = [tf.matMul(x!, gate!, false, true), tf.matMul(x!, up!, false, true)]
  const share = tf.sigmoid(g)
  const ofUp = tf.mul(g, share)
  const ofGate = tf.mul(u, tf.mul(share, tf.add(1, tf.mul(g, tf.sub(1, share)))))
  const gated = tf.mul(ofUp, u)
  return [tf.matMul(gated, down!, false, true), tf.concat([ofUp, ofGate], 1), gated]
}

const backward: Kernel = ({ down, dy, slopes }: Inputs) => {
  const [ofUp, ofGate] = tf.split(slopes!, 2, 1)
  const slope = tf.matMul(dy!, down!)
  return [tf.mul(slope, ofGate!), tf.mul(slope, ofUp!)]
}

const fused: Op = (x: Tensor2D, gate: Tensor2D, up: Tensor2D, down: Tensor2D) => gatedMlp(x, { gate, up, down }, "silu")

const layers: Op = (x: Tensor2D, gate: Tensor2D, up: Tensor2D, down: Tensor2D) => {
  const [gates, ups] = linears(x, [
    [gate, undefined],
    [up, undefined]
  ])
  return linear(gatedActivation(gates!, ups!, "silu"), down)
}

describe.skipIf(addonPath() === undefined)("the gradients of a gated MLP in kernels of its own", () => {
  beforeAll(async () => {
    await Effect.runPromise(Effect.provide(ModelRuntime, ModelRuntime.layerTorch({ device: "cpu" })))
    await tf.setBackend("torch")
    registerTorchKernel(GATED_MLP, forward)
    registerTorchKernel(GATED_MLP_GRADIENT, backward)
  })

  it("are those of its layers, whichever are asked for", () => {
    leavesNothing(() => {
      const inputs = [noise([7, 16], "x"), noise([32, 16], "gate"), noise([32, 16], "up"), noise([16, 32], "down")]
      const dy = wave([7, 16], 0.8)
      const expected = gradientsOf(layers, inputs, dy).map((gradient) => gradient.dataSync())
      for (let set = 1; set < 2 ** inputs.length; set++) {
        const asked = inputs.flatMap((_, i) => ((set >> i) % 2 === 1 ? [i] : []))
        const ofAsked: Op = (...given: ReadonlyArray<Tensor>) => {
          const all = inputs.map((input, i) => given[asked.indexOf(i)] ?? input)
          return fused(...(all as unknown as ReadonlyArray<never>))
        }
        const found = gradientsOf(
          ofAsked,
          asked.map((i) => inputs[i]!),
          dy
        )
        found.forEach((gradient, k) => expectClose(gradient, [...expected[asked[k]!]!], 1e-4))
      }
    })
  })
})
