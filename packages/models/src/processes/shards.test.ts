import {
  joinProcesses,
  linear,
  ModelRuntime,
  ownPart,
  type ProcessesShape,
  recomputed,
  takeGradients,
  type Tensor,
  type Tensor2D,
  tf,
  type Variable,
  withoutValues
} from "@plumbline/runtime"
import { Effect, Exit } from "effect"
import { once } from "node:events"
import { createServer } from "node:net"
import { describe, expect, it } from "vitest"
import { atLast, type Shard, type Shards, shardsOf, within } from "./shards.ts"

const torch = ModelRuntime.layerTorch({ device: "cpu" })
const hasTorch = Exit.isSuccess(await Effect.runPromiseExit(Effect.provide(ModelRuntime, torch)))

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as { readonly port: number }
  server.close()
  return port
}

/** Runs `body` in a process whose matrices are in one part, its own. */
const alone = <A>(body: (processes: ProcessesShape, allocated: () => number) => A) =>
  Effect.gen(function* () {
    const { memory } = yield* ModelRuntime
    const place = { rank: 0, size: 1, host: "127.0.0.1", port: yield* Effect.promise(freePort), firstServes: true }
    const processes = yield* joinProcesses({ ...place, prefix: "test", sharding: "full", patience: 60 })
    return body(processes, () => memory().allocatedBytes!)
  }).pipe(Effect.scoped, Effect.provide(torch), Effect.runPromise)

const WIDTH = 256
const BYTES = 4 * WIDTH * WIDTH

const values = (seed: number): Tensor2D => tf.randomNormal([WIDTH, WIDTH], 0, 0.05, "float32", seed)

/** Matrices at places 1 to `blocks`, and one at both ends. */
const made = (processes: ProcessesShape, blocks: number) => {
  const exact: Array<Tensor2D> = []
  const shards = Array.from({ length: blocks + 1 }, (_, i): Shard => {
    exact.push(tf.keep(values(i)))
    return {
      whole: tf.variable(withoutValues([WIDTH, WIDTH]), true),
      part: tf.keep(ownPart(exact[i]!, 0, 1)),
      places: i === 0 ? [0, blocks + 1] : [i]
    }
  })
  const variables = shards.map(({ whole }) => whole as Variable)
  return { exact, variables, own: shardsOf(shards, blocks + 1, processes) }
}

type Matrices = ReadonlyArray<Tensor>

/** x·W₀ᵀ, through each block, x + tanh(x·Wᵀ), and W₀ again. */
const pass = (matrices: Matrices, shards: Shards | undefined, x: Tensor2D, again: boolean): Tensor => {
  const [ends, ...blocks] = matrices as ReadonlyArray<Tensor2D>
  shards?.enter(0)
  let state = linear(x, ends!)
  blocks.forEach((matrix, i) => {
    const block = (input: Tensor2D) =>
      within(shards, i + 1, () => ({ x: tf.add(input, tf.tanh(linear(input, matrix))) as Tensor2D })).x
    state = again ? recomputed(block, state) : block(state)
  })
  return atLast(shards, blocks.length + 1, () => ({ y: linear(state, ends!) })).y
}

/** The value of Σ y², and its gradients. */
const gradientsOf = (matrices: Matrices, shards: Shards | undefined, again: boolean) => {
  const grads = new Map<Tensor, Float32Array>()
  const x: Tensor2D = tf.randomNormal([3, WIDTH], 0, 1, "float32", 9)
  const loss = takeGradients(
    () => tf.sum(tf.square(pass(matrices, shards, x, again))).asScalar(),
    matrices as ReadonlyArray<Variable>,
    (variable, gradient) => {
      grads.set(variable, gradient.dataSync() as Float32Array)
      gradient.dispose()
    }
  )
  return { loss: loss.dataSync()[0]!, grads: matrices.map((matrix) => grads.get(matrix)!) }
}

describe.skipIf(!hasTorch)("matrices in parts", () => {
  it("are there at their place alone, and at the one before it", async () => {
    await alone((processes, allocated) => {
      const { exact, own, variables } = made(processes, 3)
      const there = () => variables.map((matrix) => !Number.isNaN(matrix.dataSync()[0]))
      const before = allocated()
      expect(there()).toEqual([false, false, false, false])
      own.enter(0)
      expect(there()).toEqual([true, true, false, false])
      own.enter(1)
      expect(there()).toEqual([false, true, true, false])
      expect(variables[1]!.dataSync()).toEqual(exact[1]!.dataSync())
      own.enter(2)
      own.enter(3)
      // the output matrix is the embedding
      expect(there()).toEqual([true, false, false, true])
      expect(allocated() - before).toBeGreaterThan(1.9 * BYTES)
      expect(allocated() - before).toBeLessThan(2.1 * BYTES)
      own.rest()
      expect(there()).toEqual([false, false, false, false])
      expect(allocated() - before).toBeLessThan(0.1 * BYTES)
    })
  })

  it.for([false, true])("give what whole ones give, with blocks computed again: %s", async (again) => {
    await alone((processes) => {
      const { exact, own, variables } = made(processes, 3)
      const whole = exact.map((matrix) => tf.variable(matrix, true))
      const [found, expected] = [gradientsOf(variables, own, again), gradientsOf(whole, undefined, again)]
      expect(found.loss).toBe(expected.loss)
      // told apart one by one: what differs in all numbers would take a minute to show
      found.grads.forEach((grad, i) =>
        expect(
          grad.every((value, k) => value === expected.grads[i]![k]),
          `gradient ${i}`
        ).toBe(true)
      )
      // without a tape nothing is left there
      tf.tidy(() => void pass(variables, own, tf.ones([1, WIDTH]), again))
      for (const matrix of variables) expect(matrix.dataSync()[0]).toBeNaN()
    })
  })

  it.for([false, true])("are two at a time in a step, with blocks computed again: %s", async (again) => {
    await alone((processes, allocated) => {
      const { exact, own, variables } = made(processes, 12)
      tf.dispose(exact)
      const before = allocated()
      const most = { bytes: 0 }
      const watched: Shards = {
        ...own,
        enter: (place) => {
          own.enter(place)
          most.bytes = Math.max(most.bytes, allocated() - before)
        },
        left: (place, x) => own.left(place, x)
      }
      takeGradients(
        () => tf.sum(pass(variables, watched, tf.ones([1, WIDTH]), again)).asScalar(),
        variables,
        (_, gradient) => {
          most.bytes = Math.max(most.bytes, allocated() - before)
          gradient.dispose()
        }
      ).dispose()
      // of 13 two that are gathered; gradients of the one at both ends and of a block, and what these are made of
      expect(most.bytes).toBeLessThan(7 * BYTES)
      expect(most.bytes).toBeGreaterThan(1.9 * BYTES)
    })
  })

  it("are there where one is read outside of a pass", async () => {
    await alone((processes) => {
      const { exact, own, variables } = made(processes, 3)
      own.need(variables[2]!)
      expect(variables[2]!.dataSync()).toEqual(exact[2]!.dataSync())
    })
  })
})
