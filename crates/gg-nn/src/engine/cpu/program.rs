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
    Conv { plan: ConvPlan, name: String, bias: bool, relu: bool },
    Pool,
    Dropout { rate: f64 },
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
}

impl Step {
    /// Whether this is a 1x1 convolution to one channel, for which there is a kernel where a network ends in it.
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
    /// The last step gives logits, `[n, h, w]` as they are.
    pub(super) to_logits: bool,
}

#[derive(Clone)]
enum Value {
    Unknown,
    Tensors(Vec<From>),
}

impl Program {
    /// # Errors
    /// A network that these kernels have no steps for.
    pub(super) fn new(graph: &Graph) -> Result<Self, EngineError> {
        let layers = &graph.layers;
        let mut users = vec![Vec::new(); layers.len()];
        for (i, layer) in layers.iter().enumerate() {
            for &j in &layer.inputs {
                users[j].push(i);
            }
        }
        let only_user = |i: usize| (users[i].len() == 1).then(|| users[i][0]);
        let mut values = vec![Value::Unknown; layers.len()];
        let mut done = vec![false; layers.len()];
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
            let one_step = || match inputs(0)?.as_slice() {
                [From::Step(s)] => Ok(*s),
                _ => Err(refuse()),
            };
            let kind = match layer.op {
                Op::Input => {
                    values[i] = Value::Tensors(vec![From::Image]);
                    continue;
                }
                Op::Concat => {
                    let mut both = inputs(0)?;
                    both.extend(inputs(1)?);
                    values[i] = Value::Tensors(both);
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
                Op::BatchNorm { .. } | Op::Relu | Op::Linear => return Err(refuse()),
            };
            let mut step = Step {
                kind,
                inputs: inputs(0)?,
                layer: i,
                channels: layer.channels,
                norm: None,
                relu: false,
            };
            // Take along what follows, as long as nobody else wants what lies between.
            let mut last = i;
            while let Some(next) = only_user(last) {
                let inside = match &mut step.kind {
                    Kind::Conv { relu, .. } => Some(relu),
                    _ => None,
                };
                match (&layers[next].op, inside) {
                    (Op::Relu, Some(inside)) if step.norm.is_none() && !*inside => *inside = true,
                    (Op::Relu, _) if step.norm.is_some() && !step.relu => step.relu = true,
                    (Op::BatchNorm { eps, .. }, _)
                        if step.norm.is_none() && !matches!(layer.op, Op::Dropout { .. }) =>
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
        let to_logits = head.is_none() && steps.last().is_some_and(Step::is_to_logits);
        Ok(Self { steps, head, to_logits })
    }

    /// Rows and columns of each step's result.
    pub(super) fn sizes(&self, shapes: &[Shape]) -> Vec<(usize, usize)> {
        self.steps.iter().map(|s| (shapes[s.layer][1], shapes[s.layer][2])).collect()
    }
}
