import { tf } from "@plumbline/runtime"
import { describe } from "vitest"
import { expectClose, onWasm } from "../testing/preference-case.ts"
import { alphaDivergence, type Divergence, forwardKl, jensenShannon, reverseKl } from "./divergence.ts"

// s(1), s(−0.5) in float64; α = 0.5
const table: ReadonlyArray<readonly [Divergence, number, number]> = [
  [reverseKl, 1, -0.5],
  [forwardKl, 0.6321205588, -0.6487212707],
  [jensenShannon, 0.379885493, -0.2809298036],
  [alphaDivergence(0.5), 0.7869386806, -0.5680508334]
]

describe("divergence scores", () => {
  for (const [divergence, above, below] of table) {
    onWasm(`${divergence.name} equals the table`, () => {
      const scores = tf.tidy(() => divergence.score(tf.tensor1d([1, -0.5])).dataSync())
      expectClose([...scores], [above, below], 1e-6)
    })
  }

  onWasm("α-divergence tends to the log-ratio as α tends to 1", () => {
    const scores = tf.tidy(() =>
      alphaDivergence(0.999)
        .score(tf.tensor1d([1, -0.5]))
        .dataSync()
    )
    expectClose([...scores], [1, -0.5], 1e-3)
  })
})
