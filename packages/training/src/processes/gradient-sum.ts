import { isDivided } from "@plumbline/models"
import {
  normParts,
  type ProcessesShape,
  settleSums,
  sumOverProcesses,
  sumPart,
  type TakeGradient,
  tf,
  type NamedTensorMap,
  type Tensor,
  type Tensor1D,
  type Variable
} from "@plumbline/runtime"

/** Adds up the gradients of all micro-batches of all processes. */
export interface GradientSum {
  /** Takes those of one micro-batch over, each as soon as it is complete. @param isLast whether it is this process's last */
  readonly take: (isLast: boolean) => TakeGradient
  /** Ends a micro-batch: where weights are in parts, all processes are at the end of one, and their gradients do not wait for the last. */
  readonly endTurn: () => void
  /**
   * The sums, by variable name: of parameters that are divided this process's part [size / processes]. What another process
   * alone has a gradient of is there, too.
   */
  readonly finish: () => NamedTensorMap
  /** Frees what there is, where the step fails: the sums, too. */
  readonly dispose: () => void
}

export const gradientSum = (variables: ReadonlyArray<Variable>, processes: ProcessesShape): GradientSum => {
  const sums = processes.size === 1 ? kept() : sent(variables, processes)
  const earlier = new Map<Tensor, Tensor>()
  const goesAtOnce = ({ size }: Tensor) => processes.sharding === "full" && isDivided(size, processes.size)
  return {
    endTurn: sums.endTurn,
    take: (isLast) => (variable, gradient) => {
      if (goesAtOnce(variable)) return sums.add(variable as Variable, tf.keep(gradient))
      const before = earlier.get(variable)
      const total = tf.keep(before === undefined ? gradient : tf.add(before, gradient))
      if (before !== undefined) tf.dispose([before, gradient])
      if (!isLast) return void earlier.set(variable, total)
      earlier.delete(variable)
      sums.add(variable as Variable, total)
    },
    finish: () => {
      for (const [variable, total] of earlier) sums.add(variable as Variable, total)
      earlier.clear()
      return sums.finish()
    },
    dispose: () => {
      tf.dispose([...earlier.values()])
      earlier.clear()
      sums.dispose()
    }
  }
}

/** What becomes of a process's own sums. */
interface OwnSums extends Omit<GradientSum, "take"> {
  readonly add: (variable: Variable, sum: Tensor) => void
}

/** A process alone has them all. */
const kept = (): OwnSums => {
  const sums: NamedTensorMap = {}
  return {
    add: (variable, sum) => void (sums[variable.name] = sum),
    endTurn: () => undefined,
    finish: () => sums,
    dispose: () => tf.dispose(sums)
  }
}

/**
 * Several send them while the backward pass is still at others. All send those of what is divided in one order, about that of a
 * backward pass, and keep what is complete before its turn: so a process whose micro-batches reach other parameters, or
 * that has none, goes with the others.
 */
const sent = (variables: ReadonlyArray<Variable>, { exchange, sharding, size }: ProcessesShape): OwnSums => {
  const own = new Map<Variable, Tensor>()
  const parts = new Map<Variable, Tensor>()
  const totals = new Map<Variable, Tensor>()
  const reached = new Set<string>()
  const whole = variables.filter((variable) => !isDivided(variable.size, size))
  const inTurn = variables.filter((variable) => isDivided(variable.size, size)).toReversed()
  const send = (variable: Variable): void => {
    const sum = own.get(variable) ?? (tf.fill(variable.shape, 0) as Tensor)
    own.delete(variable)
    parts.set(variable, tf.keep(sumPart(sum)))
    sum.dispose()
  }
  const settle = (): void => {
    while (parts.size < inTurn.length) send(inTurn[parts.size]!)
    settleSums()
    for (const [variable, part] of parts) {
      const before = totals.get(variable)
      totals.set(variable, before === undefined ? part : tf.keep(tf.add(before, part)))
      if (before !== undefined) tf.dispose([before, part])
    }
    parts.clear()
  }
  return {
    endTurn: () => {
      if (sharding === "full") settle()
    },
    add: (variable, sum) => {
      own.set(variable, sum)
      reached.add(variable.name)
      while (parts.size < inTurn.length && own.has(inTurn[parts.size]!)) send(inTurn[parts.size]!)
    },
    finish: () => {
      if (sharding !== "full") settle()
      const known = new Set(exchange([...reached]).flat())
      const sums = sumTogether(
        whole.filter(({ name }) => known.has(name)),
        own
      )
      for (const [variable, part] of totals) {
        if (known.has(variable.name)) sums[variable.name] = part
        else part.dispose()
      }
      return sums
    },
    dispose: () => {
      tf.dispose([...parts.values(), ...totals.values(), ...own.values()])
      parts.clear()
      totals.clear()
      own.clear()
    }
  }
}

/** Small ones go as one. Frees what there was. */
const sumTogether = (variables: ReadonlyArray<Variable>, own: Map<Variable, Tensor>): NamedTensorMap => {
  if (variables.length === 0) return {}
  const sums = tf.tidy(() => {
    const flat = variables.map((variable) =>
      tf.reshape(own.get(variable) ?? tf.zeros([variable.size]), [variable.size])
    )
    const sum = sumOverProcesses(tf.concat(flat) as Tensor1D)
    const cut = tf.split(
      sum,
      variables.map(({ size }) => size)
    )
    return Object.fromEntries(variables.map(({ name, shape }, i) => [name, tf.reshape(cut[i]!, shape)] as const))
  })
  tf.dispose([...own.values()])
  own.clear()
  return sums
}

/**
 * Of the norm of all gradients together, what this process has to say: of its parts, and in the first process of what is
 * whole everywhere.
 */
export const ownNormParts = (
  gradients: NamedTensorMap,
  variables: ReadonlyArray<Variable>,
  { rank, size }: ProcessesShape
): Tensor1D => {
  const counted = variables.filter((variable) => rank === 0 || isDivided(variable.size, size))
  return normParts(counted.flatMap(({ name }) => gradients[name] ?? []))
}
