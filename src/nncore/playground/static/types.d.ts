/* What the page and Python say to each other, and the state that both hold. Checked by `tsc --checkJs`, not shipped to browsers. */

/* ---- The state: all that a user has chosen. It is in the address, and Python computes from it alone. ---- */

export interface State {
  view: "network" | "landscape" | "momentum" | "initialization";
  lesson: string | null;
  data: DataState;
  runs: RunState[]; // one, or two side by side: same data, same clock
  speed: number; // steps per second; 0: as fast as possible
  landscape: LandscapeState;
  momentum: MomentumState;
  initialization: InitializationState;
}

export interface DataState {
  kind: string; // see Catalog.datasets; "drawn": points, "own": what nn.playground was given
  n: number; // examples
  noise: number; // standard deviation, in units of the picture, whose half side is 1
  split: number; // share that is held back for validation, 0.1 … 0.9
  seed: number;
  features: string[]; // what the network sees of a point (x₁, x₂): some of Catalog.features; [] for digits and own data
  points: [number, number, number][]; // of "drawn": x₁, x₂ ∈ [−1, 1], class 0, 1, 2
}

export interface RunState {
  layers: LayerState[]; // hidden ones; the output layer follows from data and loss
  loss: string;
  optimizer: Named; // {name: "adam", lr: 0.01, …}
  schedule: Named | null; // of the learning rate; its initial value is optimizer.lr
  regularizer: Named | null;
  clip: Named | null;
  batch_size: number;
  seed: number; // of the weights, of dropout, and of the order of the examples
}

export interface LayerState {
  units: number; // 1 … Catalog.limits.units
  activation: string;
  norm: string | null;
  dropout: number; // 0: none
  init: string; // "default": what nncore takes for the activation
}

export interface Named {
  name: string;
  [parameter: string]: number | string | boolean;
}

export interface LandscapeState {
  name: string; // of Catalog.landscapes, "quadratic" with `eigenvalues`, or "network": the surface around the present weights
  eigenvalues: [number, number];
  start: [number, number];
  steps: number;
  racers: Named[]; // up to six optimizers, second order ones included
}

export interface MomentumState { rate: number; momentum: number } // ηλ and μ

export interface InitializationState { depth: number; width: number; activation: string; init: string; scale: number }

/* ---- The catalog: what there is to choose from, read from the registries. ---- */

export interface Choice { name: string; label: string; parameters: Parameter[]; formula?: string }

export interface Parameter {
  name: string;
  label: string; // "η", "β₁", …
  kind: "number" | "fraction" | "integer" | "flag" | "choice";
  default: number | string | boolean;
  minimum?: number;
  maximum?: number;
  scale?: "linear" | "log";
  choices?: string[];
}

export interface Catalog {
  datasets: { name: string; label: string; task: "classification" | "regression"; plane: boolean }[]; // plane: two inputs
  features: { name: string; label: string }[];
  activations: Choice[];
  norms: Choice[];
  initializers: Choice[];
  losses: { classification: Choice[]; regression: Choice[] };
  optimizers: Choice[]; // of networks
  racers: Choice[]; // of landscapes
  schedules: Choice[];
  regularizers: Choice[];
  clips: Choice[];
  landscapes: { name: string; label: string; box: [number, number, number, number]; start: [number, number] }[]; // x₁ from, to, x₂ from, to
  limits: { layers: number; units: number; examples: number; runs: number };
  colors: Record<string, string>; // one for each optimizer, everywhere the same
}

export interface Lesson {
  id: string;
  title: string;
  deck: string;
  question: string;
  predictions: string[]; // to choose one from before it runs
  right: number; // which of them
  answer: string;
  state: State;
}

/* ---- Messages. A reply carries the `id` of the request. ---- */

export type Request =
  | { type: "hello"; session: string | null; state: State | null } // → Welcome
  | { type: "state"; state: State } // → Adopted, or Refused, and then nothing has changed
  | { type: "play" } | { type: "pause" } | { type: "reset" } // → Done
  | { type: "step"; steps: number } | { type: "epoch" } // → Done: the run pauses after them
  | { type: "phase" } // → Done: forward, loss, backward, update, one after the other
  | { type: "frame"; grid: number; inspect: Inspect | null; example: number | null; axes: [number, number] } // → Frame
  | { type: "points" } // → Points
  | { type: "code" } // → Code
  | { type: "landscape"; landscape: LandscapeState } // → Landscape
  | { type: "momentum"; momentum: MomentumState } // → Momentum
  | { type: "initialization"; initialization: InitializationState }; // → Initialization

export interface Inspect { run: number; kind: "unit" | "weight" | "layer"; layer: number; unit: number; input: number }
// layer 0 is the first dense layer; `input` is for weights; the bias is input −1

export interface Welcome {
  type: "welcome"; session: string; catalog: Catalog; lessons: Lesson[]; state: State; own: boolean; // own: X and y were given
  version: string; start: number; playing: boolean; // start: changes with every reset
  message: string | null; // why the state of the address could not be taken
}
export interface Adopted { type: "adopted"; state: State; start: number } // as it was understood: numbers in range, fields complete
export interface Refused { type: "refused"; message: string } // nothing has changed
export interface Done { type: "done" }
export interface Code { type: "code"; text: string }

/** A message of arrays: a JSON header, whose `arrays` say where each one lies in the bytes that follow. */
export interface Header { type: string; arrays: { name: string; dtype: "float32" | "int32" | "int8" | "uint8"; shape: number[]; offset: number }[] }

export type Arrays = Record<string, { shape: number[]; data: Float32Array | Int32Array | Int8Array | Uint8Array }>;

/** Arrays: `train/x` (n, d) and `train/y` (n,), `validation/x`, `validation/y`: float32, x as drawn, y a class or a number. */
export interface Points extends Header {
  type: "points"; task: "classification" | "regression"; classes: number; inputs: string[];
  line: boolean; // a regression of one input: x is drawn to the right, y upward, and `r/line` is the network's curve
  plane: boolean; box: [number, number, number, number]; // of the decision map: x₁ from, to, x₂ from, to
  image: [number, number] | null; // height and width where an example is a picture
  labels: string[]; // of the classes
}

/**
 * The present moment of all runs. Arrays, r = number of the run:
 * `r/theta` float32 (parameters), weights by rows of units;
 * `r/grad` float32 (parameters): the gradient of the batch in step mode, else of the last frame's training data;
 * `r/units` int8 (units of all hidden and output layers, g, g): h over the plane, −127 … 127 times the scale of the unit;
 *   of a picture's first layer: its weights as a picture, (units, height, width) in `r/images`;
 * `r/map` uint8 (classes or 1, G, G): probability of each class, 0 … 255; of a regression: y from `range`; rows from the top,
 *   G = twice the grid;
 * `r/line` float32 (G,): the output over x, of a regression with one input;
 * `r/curve` float32 (points, 5): step, training loss, validation loss, training accuracy, validation accuracy (NaN: regression);
 * `r/z` and `r/delta` float32 (layers, bins): shares of the examples' z and δ (∂l/∂z of each example) per bin, ranges in `layers`;
 * `r/outputs` float32 (validation examples, outputs) only for data that are not in the plane;
 * `r/example` float32 (units of all layers, 4): z, h, δ, 0 of the chosen example; δ NaN without a backward pass.
 */
export interface Frame extends Header {
  type: "frame";
  start: number; // if it differs from the last one, ask for points again
  playing: boolean;
  rate: number; // measured steps per second of all runs together
  runs: FrameRun[];
}

export interface FrameRun {
  step: number;
  epoch: number;
  batches: number; // steps per epoch
  lr: number; // in the next step
  parameters: number;
  loss: number | null; validation_loss: number | null; accuracy: number | null; validation_accuracy: number | null;
  penalty: number | null;
  ended: string | null; // why it can't go on: it diverged
  phase: "update" | "forward" | "loss" | "backward"; // what was done last
  layers: FrameLayer[]; // dense layers: hidden ones, then the output
  scales: number[]; // of r/units
  range: [number, number]; // of r/map, regression
  batch: number[] | null; // rows of the training data of the batch under way, in step mode
  numbers: Numbers | null; // what `inspect` asked for
}

export interface FrameLayer {
  name: string; units: number; inputs: number;
  weight: number; bias: number; // where they begin in theta
  activation: string; norm: string | null; dropout: number;
  z: [number, number]; delta: [number, number]; // ranges of the histograms
  dead: number; // share of units whose h is 0 for all examples
  norms: [number | null, number | null, number | null]; // ‖W‖, ‖∂l/∂W‖, ‖ΔW‖ of the last step
}

/** Every number of a unit, a weight or a layer, with its formula. */
export interface Numbers {
  title: string;
  formulas: { text: string; value: string }[]; // "z = Σ w h + b", "0.31·0.92 − 1.2·0.1 + 0.05 = 0.21"
  columns: string[]; // "weight", "w", "∂l/∂w", "m", "v", "step"
  rows: (string | number)[][];
}

/** Arrays: `surface` float32 (G, G): log-scaled for colors, 0 … 1, at the middles of cells, rows from the top; `levels` float32
 * of the same units; `i/path` float32 (steps + 1, 2) and `i/loss` float32 (steps + 1,) of racer i, shorter if it has ended. */
export interface Landscape extends Header {
  type: "landscape"; box: [number, number, number, number]; lowest: number | null; minima: [number, number][];
  racers: { name: string; label: string; color: string; steps: number | null; ended: string | null }[]; // steps to the threshold
  threshold: number | null;
}

/** Arrays: `map` uint8 (G, G): the regime at each (ηλ, μ), rows from the top; `rate` float32 (G, G): |largest root|;
 * `run` float32 (steps,): the error of x in the run; `theory` float32 (steps,): its envelope. */
export interface Momentum extends Header {
  type: "momentum"; box: [number, number, number, number]; regimes: string[]; regime: string; root: number; formula: string;
  optimum: [number, number]; // best μ and root for this ηλ
}

/** Arrays: `forward` and `backward` float32 (depth,): measured variance of h and of δ by layer; `forward/theory`,
 * `backward/theory`; `histograms` float32 (depth, bins): of h, from −1 to 1 times `scale` of the layer. */
export interface Initialization extends Header { type: "initialization"; scales: number[]; message: string }

/* ---- The host: what anywidget gives to `render`; outside notebooks host.js makes one over a WebSocket. ---- */

export interface Host {
  send(content: unknown): void;
  on(event: "msg:custom", callback: (content: any, buffers: DataView[]) => void): void;
  off(event: "msg:custom", callback?: (content: any, buffers: DataView[]) => void): void;
  on(event: "connection", callback: (connected: boolean) => void): void; // host.js only
}

/* ---- Inside the page: main.js makes one App; each view gets it. ---- */

export interface Message<T> { header: T; arrays: Arrays }

export interface App {
  readonly root: HTMLElement; // has the attribute data-theme="light" or "dark"
  readonly state: State; // never edited in place: see `change`
  readonly catalog: Catalog;
  readonly lessons: Lesson[];
  readonly own: boolean;
  readonly points: Message<Points> | null;
  readonly frame: Message<Frame> | null; // the last one
  readonly selected: Inspect | null;
  readonly hovered: Inspect | null; // what of a network the mouse or the arrow keys are at
  readonly example: number | null; // a row of the training data
  /** Edit a copy of the state, send it, keep it in the address; if Python refuses it, it says why and the state stays. */
  change(edit: (state: State) => void): Promise<void>;
  select(what: Inspect | null): void;
  hover(what: Inspect | null): void;
  choose(example: number | null): void;
  ask<T>(request: Request): Promise<Message<T>>; // rejects with an Error whose message can be shown
  say(message: string): void; // a line at the bottom that goes away by itself
}

export interface View {
  el: HTMLElement;
  update(): void; // state, selection, size or theme have changed
  paint?(frame: Message<Frame>): void; // a new frame of the networks
  close?(): void;
}
