//! What a network is told about a point.

/// A number computed from a point (x, y).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// x
    X,
    /// y
    Y,
    /// x²
    XSquared,
    /// y²
    YSquared,
    /// x·y
    Product,
    /// sin x
    SinX,
    /// sin y
    SinY,
}

impl Feature {
    /// All of them.
    pub const ALL: [Feature; 7] =
        [Feature::X, Feature::Y, Feature::XSquared, Feature::YSquared, Feature::Product, Feature::SinX, Feature::SinY];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Feature::X => "x",
            Feature::Y => "y",
            Feature::XSquared => "x2",
            Feature::YSquared => "y2",
            Feature::Product => "xy",
            Feature::SinX => "sinx",
            Feature::SinY => "siny",
        }
    }

    /// Its formula.
    pub fn formula(self) -> &'static str {
        match self {
            Feature::X => "x",
            Feature::Y => "y",
            Feature::XSquared => "x²",
            Feature::YSquared => "y²",
            Feature::Product => "x·y",
            Feature::SinX => "sin x",
            Feature::SinY => "sin y",
        }
    }

    /// Its value, rounded to `f32`, so that a last bit of a sine that differs between systems does not show.
    pub fn of(self, at: [f32; 2]) -> f64 {
        let [x, y] = at.map(f64::from);
        let value = match self {
            Feature::X => x,
            Feature::Y => y,
            Feature::XSquared => x * x,
            Feature::YSquared => y * y,
            Feature::Product => x * y,
            Feature::SinX => x.sin(),
            Feature::SinY => y.sin(),
        };
        f64::from(value as f32)
    }
}
