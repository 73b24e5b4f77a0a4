import { configDefaults, defineConfig } from "vitest/config"

/** Of what a process knows as a whole, such as the tensors alive in it: each file has a process of its own, as have those of commands. */
const apart = [
  "packages/runtime/src/**/*.test.ts",
  "packages/tfjs-backend-torch/src/**/*.test.ts",
  "packages/models/src/checkpoint/load-quantised.test.ts",
  "packages/models/src/decoder/recomputing-memory.test.ts",
  "packages/models/src/decoder/key-value-cache.test.ts",
  "packages/models/src/processes/shards.test.ts",
  "packages/training/src/device-failure.test.ts",
  "packages/training/src/long-run.test.ts",
  "scripts/*.test.ts"
]

export default defineConfig({
  test: {
    globalSetup: ["scripts/test-folder.ts"],
    pool: "forks",
    // one a core: much of the time goes to commands that tests start and wait for
    maxWorkers: "100%",
    // ends what hangs; beside other work a test of several commands takes a minute
    testTimeout: 180_000,
    hookTimeout: 180_000,
    projects: [
      { extends: true, test: { name: "apart", include: apart } },
      // commands that these run in their own process are loaded by Node, recipes too, as those are that they start
      {
        extends: true,
        test: {
          name: "commands",
          include: ["test/**/*.test.ts"],
          experimental: { viteModuleRunner: false, nodeLoader: false }
        }
      },
      {
        extends: true,
        // loading what they test took these longer than testing it
        test: {
          name: "together",
          include: ["packages/*/src/**/*.test.ts"],
          exclude: [...configDefaults.exclude, ...apart],
          isolate: false
        }
      }
    ]
  }
})
