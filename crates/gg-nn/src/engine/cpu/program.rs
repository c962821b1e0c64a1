//! From a [`Graph`] to fused steps: each convolution takes its bias and a ReLU with it on the way to memory, and batch
//! norm and the ReLU after it are applied by whoever reads the result. Concatenations vanish: a convolution reads
//! several tensors.

use crate::engine::EngineError;
use crate::net::{Graph, Op, Shape};
use gg_kernels::{ConvPlan, Sampling};

/// Where a step's input comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum From {
    /// The batch of images.
    Image,
    /// The result of a step.
    Step(usize),
}

/// A batch norm that is applied to a step's result by its readers.
#[derive(Clone, Debug)]
pub(super) struct NormOf {
    /// Name of the layer.
    pub(super) name: String,
    pub(super) eps: f64,
}

/// What a step computes.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Conv {
        plan: ConvPlan,
        name: String,
        bias: bool,
        relu: bool,
    },
    Pool,
    Dropout {
        rate: f64,
    },
    /// The sum of two inputs.
    Add {
        relu: bool,
    },
    /// The first input times the sigmoid of the second, which is a plane.
    Gate,
}

/// One pass over a tensor.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) kind: Kind,
    pub(super) inputs: Vec<From>,
    /// Layer whose output has the step's shape, for its size and for dropout.
    pub(super) layer: usize,
    pub(super) channels: usize,
    /// Applied by the readers: batch norm, then ReLU (only after a batch norm).
    pub(super) norm: Option<NormOf>,
    pub(super) relu: bool,
    /// The result is one channel, `[n, h, w]` as it is: logits, or what a gate reads.
    pub(super) plane: bool,
}

impl Step {
    /// Whether the ReLU is applied on the way to memory.
    pub(super) fn relu_inside(&self) -> bool {
        matches!(self.kind, Kind::Conv { relu: true, .. } | Kind::Add { relu: true })
    }

    /// Whether this is a 1x1 convolution to one channel, whose result can be a plane.
    fn is_to_logits(&self) -> bool {
        let Kind::Conv { plan, relu: false, .. } = &self.kind else { return false };
        plan.kernel == 1
            && plan.outputs == [1]
            && plan.output_grid == Sampling::Same
            && matches!(self.inputs.as_slice(), [From::Step(_)])
            && self.norm.is_none()
    }
}

/// A layer on `[n, channels]` after the global average pool.
#[derive(Clone, Debug)]
pub(super) enum Flat {
    Linear { name: String, outputs: usize },
    Relu,
    Dropout { rate: f64, layer: usize },
}

/// The whole network.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
    /// After the global average pool of the last step, if the network classifies.
    pub(super) head: Option<Vec<Flat>>,
    /// Steps that give logits, if the network segments: the last one, then the side outputs.
    pub(super) ends: Vec<usize>,
    /// Whether prediction needs a step.
    pub(super) predicts: Vec<bool>,
}

#[derive(Clone)]
enum Value {
    Unknown,
    Tensors(Vec<From>),
}

impl Program {
    /// All steps: those of side outputs, too.
    ///
    /// # Errors
    /// A network that these kernels have no steps for.
    pub(super) fn new(graph: &Graph) -> Result<Self, EngineError> {
        Self::build(graph, vec![false; graph.layers.len()], &graph.sides)
    }

    /// The steps that prediction needs.
    ///
    /// # Errors
    /// As [`Program::new`].
    pub(super) fn to_predict(graph: &Graph) -> Result<Self, EngineError> {
        Self::build(graph, graph.reaches_output().iter().map(|needed| !needed).collect(), &[])
    }

    /// Steps for the layers that are not `done`.
    fn build(graph: &Graph, mut done: Vec<bool>, sides: &[usize]) -> Result<Self, EngineError> {
        let layers = &graph.layers;
        let mut users = vec![Vec::new(); layers.len()];
        for (i, layer) in layers.iter().enumerate() {
            for &j in &layer.inputs {
                users[j].push(i);
            }
        }
        let only_user = |i: usize| (users[i].len() == 1).then(|| users[i][0]);
        let mut values = vec![Value::Unknown; layers.len()];
        let mut steps: Vec<Step> = Vec::new();
        let mut head: Option<Vec<Flat>> = None;
        for (i, layer) in layers.iter().enumerate() {
            if done[i] {
                continue;
            }
            let refuse =
                || EngineError::Failed(format!("the CPU kernels have no step for layer {}", layer.name));
            if let Some(head) = &mut head {
                head.push(match layer.op {
                    Op::Linear => Flat::Linear { name: layer.name.clone(), outputs: layer.channels },
                    Op::Relu => Flat::Relu,
                    Op::Dropout { rate } => Flat::Dropout { rate, layer: i },
                    _ => return Err(refuse()),
                });
                continue;
            }
            let inputs = |k: usize| match layer.inputs.get(k).map(|&j| values[j].clone()) {
                Some(Value::Tensors(from)) => Ok(from),
                _ => Err(refuse()),
            };
            let step_of = |k: usize| match inputs(k)?.as_slice() {
                [From::Step(s)] => Ok(*s),
                _ => Err(refuse()),
            };
            let one_step = || step_of(0);
            let kind = match layer.op {
                Op::Input => {
                    values[i] = Value::Tensors(vec![From::Image]);
                    continue;
                }
                Op::Concat => {
                    let all = (0..layer.inputs.len()).map(inputs).collect::<Result<Vec<_>, _>>()?;
                    values[i] = Value::Tensors(all.concat());
                    continue;
                }
                Op::GlobalAvgPool => {
                    if one_step()? + 1 != steps.len() {
                        return Err(refuse());
                    }
                    head = Some(Vec::new());
                    continue;
                }
                Op::Conv { kernel, bias } => {
                    let from = inputs(0)?;
                    let channels: Vec<usize> = from
                        .iter()
                        .map(|f| match f {
                            From::Image => graph.in_channels(),
                            From::Step(s) => steps[*s].channels,
                        })
                        .collect();
                    let plan = if from == [From::Image] && channels == [1] && kernel == 3 {
                        ConvPlan::of_plane(layer.channels)
                    } else {
                        ConvPlan::new(kernel, &channels, layer.channels)
                    };
                    Kind::Conv { plan, name: layer.name.clone(), bias, relu: false }
                }
                Op::ConvTranspose => {
                    let plan = ConvPlan::transposed(steps[one_step()?].channels, layer.channels);
                    Kind::Conv { plan, name: layer.name.clone(), bias: true, relu: false }
                }
                Op::MaxPool => {
                    one_step()?;
                    Kind::Pool
                }
                Op::Dropout { rate } => {
                    one_step()?;
                    Kind::Dropout { rate }
                }
                Op::Add => {
                    one_step()?;
                    Kind::Add { relu: false }
                }
                Op::Gate => {
                    one_step()?;
                    let by = &mut steps[step_of(1)?];
                    if !by.is_to_logits() || users[layer.inputs[1]].len() > 1 {
                        return Err(refuse());
                    }
                    by.plane = true;
                    Kind::Gate
                }
                Op::BatchNorm { .. } | Op::Relu | Op::Linear => return Err(refuse()),
            };
            let inputs = match kind {
                Kind::Add { .. } | Kind::Gate => vec![From::Step(step_of(0)?), From::Step(step_of(1)?)],
                _ => inputs(0)?,
            };
            let mut step = Step {
                kind,
                inputs,
                layer: i,
                channels: layer.channels,
                norm: None,
                relu: false,
                plane: false,
            };
            // Take along what follows, as long as nobody else wants what lies between.
            let mut last = i;
            while let Some(next) = only_user(last) {
                let inside = match &mut step.kind {
                    Kind::Conv { relu, .. } | Kind::Add { relu } => Some(relu),
                    _ => None,
                };
                match (&layers[next].op, inside) {
                    (Op::Relu, Some(inside)) if step.norm.is_none() && !*inside => *inside = true,
                    (Op::Relu, _) if step.norm.is_some() && !step.relu => step.relu = true,
                    (Op::BatchNorm { eps, .. }, _)
                        if step.norm.is_none()
                            && !matches!(layer.op, Op::Dropout { .. } | Op::Add | Op::Gate) =>
                    {
                        step.norm = Some(NormOf { name: layers[next].name.clone(), eps: *eps });
                    }
                    _ => break,
                }
                done[next] = true;
                last = next;
            }
            values[last] = Value::Tensors(vec![From::Step(steps.len())]);
            steps.push(step);
        }
        if steps.is_empty() || (head.is_none() && steps.last().is_none_or(|s| s.norm.is_some())) {
            return Err(EngineError::Failed("a network that does not end in logits".into()));
        }
        let mut ends = Vec::new();
        if head.is_none() {
            ends.push(steps.len() - 1);
            for &side in sides {
                match &values[side] {
                    Value::Tensors(from) => match from.as_slice() {
                        [From::Step(s)] if steps[*s].is_to_logits() => ends.push(*s),
                        _ => return Err(EngineError::Failed("a side output that gives no logits".into())),
                    },
                    Value::Unknown => return Err(EngineError::Failed("a side output without a step".into())),
                }
            }
            for &end in &ends {
                steps[end].plane = steps[end].is_to_logits();
            }
        }
        let reaches = graph.reaches_output();
        let predicts = steps.iter().map(|s| reaches[s.layer]).collect();
        Ok(Self { steps, head, ends, predicts })
    }

    /// Rows and columns of each step's result.
    pub(super) fn sizes(&self, shapes: &[Shape]) -> Vec<(usize, usize)> {
        self.steps.iter().map(|s| (shapes[s.layer][1], shapes[s.layer][2])).collect()
    }
}
