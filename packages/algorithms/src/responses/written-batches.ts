import { type Dataset, type DataUnit, globalBatches } from "@plumbline/training"
import { Effect, Stream } from "effect"

/**
 * The experience of an algorithm whose data are written as it trains: of every step's units, from the step after
 * `position` on, what `write` makes of them with the weights as they are then.
 */
export const writtenBatches = <U extends DataUnit, Batches, E, R, I>(
  data: Effect.Effect<Dataset<U>, never, I>,
  position: number,
  write: (data: Dataset<U>, units: ReadonlyArray<U>, step: number) => Effect.Effect<Batches, E, R>
): Stream.Stream<Batches, E, R | I> =>
  Stream.unwrap(
    Effect.map(data, (known) =>
      globalBatches(known.units, known.sampler, position).pipe(
        Stream.zipWithIndex,
        Stream.mapEffect(([units, index]) => write(known, units, position + index))
      )
    )
  )
