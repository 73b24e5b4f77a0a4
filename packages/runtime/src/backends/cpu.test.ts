import { ModelRuntime } from "../model-runtime.ts"
import { backendSuite } from "../testing/backend-suite.ts"

backendSuite("cpu", ModelRuntime.layerCpu)
