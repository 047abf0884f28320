//! The functions of one number and of two: one entry in a table each, from which everything else is made.
//!
//! An entry of [`unary_functions!`](crate::unary_functions) has three parts:
//!
//! - what it is: the name of its method on a tensor, its formula, its derivative, what the derivative is computed from
//!   ([`Saves`]), and where it is defined ([`Domain`]);
//! - `scalar`, the specification: y from x, and dx = dy·f′ from what is saved and dy, generic over `E`, which is `f32` or `f64`.
//!   The naive rung runs it, and in `f64` it is the oracle;
//! - `vector`: the same two on the vectors of `s`, a [`Simd`](crate::simd::Simd), for all other rungs.
//!
//! The two forms share no function, because one judges the other. Made from the table: the enum with [`Unary::ALL`], the rungs,
//! and in the crate `autograd` a method, an operation of the tape and the cases of its gradient check. What a
//! function and its derivative are at 0, ±∞ and NaN stands in [`corners`](crate::corners), which does not compile without a
//! row for each. In CUDA C the table is `cuda/functions.cuh`, a line each in the same order, which the tests on CUDA compare with this
//! one. Vector functions such as `math::exp` and their accuracy are in [`simd::math`](crate::simd::math).

/// Calls the macro `$generate` with the table of functions of one number.
#[doc(hidden)]
#[macro_export]
macro_rules! unary_functions {
    ($generate:ident) => {
        $generate! {
            Neg { method: neg, formula: "−x", derivative: "−1", saves: Nothing, domain: All }
                scalar { |x| -x; |_x, dy| -dy }
                vector { |s, x| s.neg(x); |s, _x, dy| s.neg(dy) }

            Exp { method: exp, formula: "eˣ", derivative: "y", saves: Output, domain: All }
                scalar { |x| x.exp(); |y, dy| dy * y }
                vector { |s, x| math::exp(s, x); |s, y, dy| s.mul(dy, y) }

            Ln { method: ln, formula: "ln x", derivative: "1/x", saves: Input, domain: Positive }
                scalar { |x| x.ln(); |x, dy| dy / x }
                vector { |s, x| math::ln(s, x); |s, x, dy| s.div(dy, x) }

            Sqrt { method: sqrt, formula: "√x", derivative: "1/(2y)", saves: Output, domain: Positive }
                scalar { |x| x.sqrt(); |y, dy| dy / (y + y) }
                vector { |s, x| s.sqrt(x); |s, y, dy| s.div(dy, s.add(y, y)) }

            Tanh { method: tanh, formula: "tanh x", derivative: "1 − y²", saves: Output, domain: All }
                scalar { |x| x.tanh(); |y, dy| dy * (E::one() - y * y) }
                vector { |s, x| math::tanh(s, x); |s, y, dy| s.mul(dy, s.neg_mul_add(y, y, s.splat(1.0))) }

            /// The logistic function σ(x).
            Sigmoid { method: sigmoid, formula: "1/(1 + e⁻ˣ)", derivative: "y·(1 − y)", saves: Output, domain: All }
                scalar { |x| E::one() / (E::one() + (-x).exp()); |y, dy| dy * y * (E::one() - y) }
                vector { |s, x| math::sigmoid(s, x); |s, y, dy| s.mul(s.mul(dy, y), s.sub(s.splat(1.0), y)) }

            /// NaN stays NaN, with a derivative of 1.
            Relu { method: relu, formula: "max(x, 0)", derivative: "1 where y > 0, else 0", saves: Output, domain: All }
                scalar {
                    |x| if x <= E::zero() { E::zero() } else { x };
                    |y, dy| if y <= E::zero() { E::zero() } else { dy }
                }
                vector {
                    |s, x| s.select(s.le(x, s.zero()), s.zero(), x);
                    |s, y, dy| s.select(s.le(y, s.zero()), s.zero(), dy)
                }

            /// GPT-2's form of GELU, with u = √(2/π)·(x + 0.044715·x³) (Hendrycks and Gimpel, 2016, section 2). At ±∞ the derivative
            /// is NaN: ∞·0.
            GeluTanh {
                method: gelu_tanh, formula: "½·x·(1 + tanh u)", derivative: "½·(1 + tanh u) + ½·x·(1 − tanh² u)·u′",
                saves: Input, domain: All
            }
                scalar {
                    |x| E::of(0.5) * x * (E::one() + gelu_argument(x).tanh());
                    |x, dy| {
                        let t = gelu_argument(x).tanh();
                        let square = (x * x).min(E::max_value()); // finite, because where x is large a factor is 0
                        let slope = E::of((2.0 / PI).sqrt()) * (E::one() + E::of(3.0 * 0.044715) * square);
                        dy * (E::of(0.5) * (E::one() + t) + E::of(0.5) * x * (E::one() - t * t) * slope)
                    }
                }
                vector { |s, x| math::gelu_tanh(s, x); |s, x, dy| s.mul(dy, math::gelu_tanh_derivative(s, x)) }

            /// GELU, x·Φ(x), where Φ is the distribution function of the normal distribution and φ its density (Hendrycks and
            /// Gimpel, 2016).
            GeluErf {
                method: gelu, formula: "½·x·(1 + erf(x/√2))", derivative: "Φ(x) + x·φ(x)", saves: Input, domain: All
            }
                scalar {
                    |x| E::of(0.5) * x * (E::one() + (x * E::of(FRAC_1_SQRT_2)).erf());
                    |x, dy| {
                        let cdf = E::of(0.5) * (E::one() + (x * E::of(FRAC_1_SQRT_2)).erf());
                        let density = (-E::of(0.5) * x * x).exp() * E::of(1.0 / (2.0 * PI).sqrt());
                        dy * if density == E::zero() { cdf } else { cdf + x * density } // at ±∞ the limit, not ∞·0
                    }
                }
                vector { |s, x| math::gelu_erf(s, x); |s, x, dy| s.mul(dy, math::gelu_erf_derivative(s, x)) }

            /// Also called swish (Ramachandran et al., 2017). At ±∞ the derivative is NaN: ∞·0.
            Silu { method: silu, formula: "x·σ(x)", derivative: "σ(x) + x·σ(x)·(1 − σ(x))", saves: Input, domain: All }
                scalar {
                    |x| x / (E::one() + (-x).exp());
                    |x, dy| {
                        let sigmoid = E::one() / (E::one() + (-x).exp());
                        dy * (sigmoid + x * sigmoid * (E::one() - sigmoid))
                    }
                }
                vector { |s, x| math::silu(s, x); |s, x, dy| s.mul(dy, math::silu_derivative(s, x)) }

            /// A smooth max(x, 0) (Dugas et al., 2001).
            Softplus { method: softplus, formula: "ln(1 + eˣ)", derivative: "σ(x)", saves: Input, domain: All }
                scalar { |x| E::zero().max(x) + (-x.abs()).exp().ln_1p(); |x, dy| dy / (E::one() + (-x).exp()) }
                vector { |s, x| math::softplus(s, x); |s, x, dy| s.mul(dy, math::sigmoid(s, x)) }

            /// The derivative at 0 is 0.
            Abs { method: abs, formula: "|x|", derivative: "the sign of x", saves: Input, domain: All }
                scalar {
                    |x| x.abs();
                    |x, dy| dy * if x > E::zero() { E::one() } else if x < E::zero() { -E::one() } else { x }
                }
                vector { |s, x| s.abs(x); |s, x, dy| s.mul(dy, math::sign(s, x)) }

            Square { method: square, formula: "x²", derivative: "2x", saves: Input, domain: All }
                scalar { |x| x * x; |x, dy| dy * (x + x) }
                vector { |s, x| s.mul(x, x); |s, x, dy| s.mul(dy, s.add(x, x)) }
        }
    };
}

/// Calls the macro `$generate` with the table of functions of two numbers.
///
/// Their derivatives are made of these functions on tensors, in the crate `autograd`.
macro_rules! binary_functions {
    ($generate:ident) => {
        $generate! {
            Add { method: add, formula: "a + b" } scalar { |a, b| a + b } vector { |s, a, b| s.add(a, b) }
            Sub { method: sub, formula: "a − b" } scalar { |a, b| a - b } vector { |s, a, b| s.sub(a, b) }
            Mul { method: mul, formula: "a·b" } scalar { |a, b| a * b } vector { |s, a, b| s.mul(a, b) }
            Div { method: div, formula: "a/b" } scalar { |a, b| a / b } vector { |s, a, b| s.div(a, b) }
            Pow { method: pow, formula: "aᵇ" } scalar { |a, b| a.powf(b) } vector { |s, a, b| math::pow(s, a, b) }

            /// NaN where either is.
            Max { method: max, formula: "max(a, b)" }
                scalar { |a, b| if a > b || a.is_nan() { a } else { b } }
                vector { |s, a, b| math::maximum(s, a, b) }

            /// NaN where either is.
            Min { method: min, formula: "min(a, b)" }
                scalar { |a, b| if a < b || a.is_nan() { a } else { b } }
                vector { |s, a, b| math::minimum(s, a, b) }

            Gt { method: gt, formula: "1 where a > b, else 0" }
                scalar { |a, b| truth(a > b) }
                vector { |s, a, b| s.select(s.gt(a, b), s.splat(1.0), s.zero()) }

            Ge { method: ge, formula: "1 where a ≥ b, else 0" }
                scalar { |a, b| truth(a >= b) }
                vector { |s, a, b| s.select(s.ge(a, b), s.splat(1.0), s.zero()) }

            Eq { method: eq, formula: "1 where a = b, else 0" }
                scalar { |a, b| truth(a == b) }
                vector { |s, a, b| s.select(s.eq(a, b), s.splat(1.0), s.zero()) }
        }
    };
}
pub(super) use binary_functions;

/// What the derivative of a [`Unary`] is computed from, and so what a tape keeps.
///
/// The output is preferred where it is enough, because the next operation often keeps it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Saves {
    /// Neither; the derivative is a constant.
    Nothing,
    /// x
    Input,
    /// y
    Output,
}

/// Where a [`Unary`] is defined; elsewhere it is NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Domain {
    /// At every number.
    All,
    /// Above 0, and at 0 as a limit.
    Positive,
}

macro_rules! define_unary {
    ($(
        $(#[$doc:meta])*
        $Op:ident {
            method: $method:ident, formula: $formula:literal, derivative: $derivative:literal,
            saves: $saves:ident, domain: $domain:ident
        }
        scalar $_scalar:tt
        vector $_vector:tt
    )*) => {
        /// A function of one number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Unary {
            $(
                #[doc = concat!("y = ", $formula, "; dy/dx = ", $derivative, ".\n\n")]
                $(#[$doc])*
                $Op,
            )*
        }

        impl Unary {
            /// Every one.
            pub const ALL: [Unary; [$(stringify!($Op)),*].len()] = [$(Unary::$Op),*];

            /// The name of its method.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Unary::$Op => stringify!($method),)*
                }
            }

            /// What its derivative is computed from.
            pub const fn saves(self) -> Saves {
                match self {
                    $(Unary::$Op => Saves::$saves,)*
                }
            }

            /// Where it is defined.
            pub const fn domain(self) -> Domain {
                match self {
                    $(Unary::$Op => Domain::$domain,)*
                }
            }
        }
    };
}
unary_functions!(define_unary);

macro_rules! define_binary {
    ($(
        $(#[$doc:meta])*
        $Op:ident { method: $method:ident, formula: $formula:literal } scalar $_scalar:tt vector $_vector:tt
    )*) => {
        /// A function of two numbers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Binary {
            $(
                #[doc = concat!("y = ", $formula, ".\n\n")]
                $(#[$doc])*
                $Op,
            )*
        }

        impl Binary {
            /// Every one.
            pub const ALL: [Binary; [$(stringify!($Op)),*].len()] = [$(Binary::$Op),*];

            /// The name of its method.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Binary::$Op => stringify!($method),)*
                }
            }

            /// What it computes.
            pub const fn formula(self) -> &'static str {
                match self {
                    $(Binary::$Op => concat!("y = ", $formula),)*
                }
            }
        }
    };
}
binary_functions!(define_binary);
