//! What every layer is: a tree of named parameters, and for most a function of one value.

use gradus_autograd::{Device, Parameter, Tape, Var};

/// Something with parameters.
pub trait Module {
    /// Shows every parameter and every module inside to the visitor, under the name of its field.
    fn visit(&self, visitor: &mut Visitor<'_>);

    /// All parameters with their full names (`blocks.0.norm1.weight`), in a fixed order; one that two layers share
    /// comes under both names.
    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        let mut all = Vec::new();
        let mut collect = |name: &str, parameter: &Parameter| all.push((name.to_owned(), parameter.clone()));
        self.visit(&mut Visitor { path: String::new(), found: &mut collect });
        all
    }

    /// All parameters, each once, under the first of its names where two layers share one.
    fn distinct_parameters(&self) -> Vec<(String, Parameter)> {
        let mut distinct: Vec<(String, Parameter)> = Vec::new();
        for (name, parameter) in self.named_parameters() {
            if !distinct.iter().any(|(_, known)| known.is_same(&parameter)) {
                distinct.push((name, parameter));
            }
        }
        distinct
    }

    /// Moves all parameters to another device and clears their gradients. Make the optimiser afterwards.
    fn to_device(&self, device: &Device) {
        self.distinct_parameters().iter().for_each(|(_, parameter)| parameter.to_device(device));
    }

    /// The device of the first parameter, the CPU where there is none: where inputs have to be.
    fn device(&self) -> Device {
        self.named_parameters().first().map_or(Device::Cpu, |(_, parameter)| parameter.value().device().clone())
    }

    /// How many numbers can be trained.
    fn parameter_count(&self) -> usize {
        self.distinct_parameters().iter().map(|(_, parameter)| parameter.value().len()).sum()
    }
}

/// A module that is a function of one value.
pub trait Layer: Module {
    /// The output for `x`, recorded on `tape` if it records.
    fn forward(&self, tape: &Tape, x: &Var) -> Var;
}

/// Walks through a tree of modules and keeps the path.
pub struct Visitor<'a> {
    path: String,
    found: &'a mut dyn FnMut(&str, &Parameter),
}

impl Visitor<'_> {
    /// A parameter called `name` here.
    pub fn parameter(&mut self, name: &str, parameter: &Parameter) {
        let end = self.path.len();
        self.push(name);
        (self.found)(&self.path, parameter);
        self.path.truncate(end);
    }

    /// A parameter that may be left out.
    pub fn optional(&mut self, name: &str, parameter: Option<&Parameter>) {
        if let Some(parameter) = parameter {
            self.parameter(name, parameter);
        }
    }

    /// A module called `name` here.
    pub fn module(&mut self, name: &str, module: &dyn Module) {
        let end = self.path.len();
        self.push(name);
        module.visit(self);
        self.path.truncate(end);
    }

    fn push(&mut self, name: &str) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
    }
}
