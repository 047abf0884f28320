//! The instruction set, chosen once at run time.
//!
//! A binary built with plain `cargo build` is compiled for the oldest machine of its architecture; the kernels are
//! compiled besides that for newer ones, and [`Isa::active`] says which of them runs. `GRADUS_ISA` forces a level.

use std::{fmt, str::FromStr, sync::OnceLock};

/// The environment variable that forces an instruction set: `portable`, `avx2` or `avx512`.
pub const ISA_VARIABLE: &str = "GRADUS_ISA";

/// An instruction set that the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// What the compiler may use everywhere: SSE2 on x86-64, NEON on AArch64, through the `wide` crate.
    Portable,
    /// AVX2 and FMA: 8 lanes, fused multiply-add, 16 registers.
    Avx2,
    /// AVX-512 F, BW, DQ and VL: 16 lanes, masks, 32 registers.
    Avx512,
}

impl Isa {
    /// Every level, from the oldest to the newest.
    pub const ALL: [Isa; 3] = [Isa::Portable, Isa::Avx2, Isa::Avx512];

    /// Whether this machine has it.
    #[inline]
    pub fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        match self {
            Isa::Portable => true,
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Isa::Avx512 => {
                Isa::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self == Isa::Portable
        }
    }

    /// The levels of this machine, from the oldest to the newest.
    pub fn available() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// The newest level of this machine.
    pub fn best() -> Isa {
        Isa::available().last().unwrap_or(Isa::Portable)
    }

    /// The level that `GRADUS_ISA` asks for, or the best one where it is not set.
    ///
    /// # Errors
    /// One line of text where the variable names no level, or one that this machine lacks.
    pub fn from_environment() -> Result<Isa, String> {
        let Some(value) = std::env::var_os(ISA_VARIABLE) else { return Ok(Isa::best()) };
        let isa: Isa = value.to_string_lossy().parse()?;
        if isa.is_available() {
            Ok(isa)
        } else {
            Err(format!("{ISA_VARIABLE}={isa}: this machine has no {isa}; the best it has is {}", Isa::best()))
        }
    }

    /// The level that every kernel uses unless told otherwise: [`Isa::from_environment`], asked once.
    ///
    /// # Panics
    /// Where the variable is wrong; a program asks [`Isa::from_environment`] first and prints the error.
    #[inline]
    pub fn active() -> Isa {
        static ACTIVE: OnceLock<Isa> = OnceLock::new();
        *ACTIVE.get_or_init(|| Isa::from_environment().unwrap_or_else(|error| panic!("{error}")))
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        })
    }
}

impl FromStr for Isa {
    type Err = String;

    fn from_str(text: &str) -> Result<Isa, String> {
        Isa::ALL
            .into_iter()
            .find(|isa| isa.to_string() == text)
            .ok_or_else(|| format!("{ISA_VARIABLE}={text}: no such instruction set; use portable, avx2 or avx512"))
    }
}

#[cfg(test)]
mod tests {
    use super::Isa;

    #[test]
    fn names_round_trip_and_wrong_ones_are_refused() {
        for isa in Isa::ALL {
            assert_eq!(isa.to_string().parse(), Ok(isa));
        }
        assert!("sse9".parse::<Isa>().unwrap_err().contains("use portable, avx2 or avx512"));
        assert!(Isa::available().any(|isa| isa == Isa::Portable));
    }
}
