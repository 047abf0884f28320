//! The instruction set, chosen once at run time.
//!
//! A binary built with plain `cargo build` is compiled for the oldest machine of its architecture. The kernels are
//! compiled for newer ones as well, and [`Isa::active`] is the level that runs. `GRADUS_ISA` forces a level; unset or
//! empty it forces none.
//!
//! Products of bf16 numbers have two levels more ([`Bf16Isa`]), because AVX-512 exists without instructions for them, with one on
//! vectors, and with one on tiles as well. Everything else runs the same code on all three, which are one level of [`Isa`].

use crate::simd::tiles;
use std::{fmt, str::FromStr, sync::OnceLock};

/// The environment variable that forces an instruction set: `portable`, `avx2`, `avx512`, `avx512bf16` or `amx`.
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

    /// The level that `GRADUS_ISA` names, or the best one where it is unset or empty.
    ///
    /// # Errors
    /// One line of text where the variable names no level, or one that this machine lacks.
    pub fn from_environment() -> Result<Isa, String> {
        Bf16Isa::from_environment().map(Bf16Isa::isa)
    }

    /// The level that every kernel uses unless it is given one: [`Isa::from_environment`], read once.
    ///
    /// # Panics
    /// Where the variable is wrong; a program calls [`Isa::from_environment`] first and prints the error.
    #[inline]
    pub fn active() -> Isa {
        Bf16Isa::active().isa()
    }
}

/// An instruction set that products of bf16 numbers are compiled for: those of [`Isa`], which emulate the dot product
/// of pairs with shifts and multiply-adds, AVX-512 with the instruction itself, and with tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bf16Isa {
    /// [`Isa::Portable`], emulated.
    Portable,
    /// [`Isa::Avx2`], emulated.
    Avx2,
    /// [`Isa::Avx512`], emulated, as on processors before Cooper Lake and Zen 4.
    Avx512,
    /// [`Isa::Avx512`] with `vdpbf16ps`.
    Avx512Bf16,
    /// The same, and the tile registers of AMX with `tdpbf16ps`, as on processors from Sapphire Rapids on
    /// ([`simd::tiles`](crate::simd::tiles)).
    Amx,
}

impl Bf16Isa {
    /// Every level, from the oldest to the newest.
    pub const ALL: [Bf16Isa; 5] =
        [Bf16Isa::Portable, Bf16Isa::Avx2, Bf16Isa::Avx512, Bf16Isa::Avx512Bf16, Bf16Isa::Amx];

    /// The level of everything that is no product of bf16 numbers.
    #[inline]
    pub fn isa(self) -> Isa {
        match self {
            Bf16Isa::Portable => Isa::Portable,
            Bf16Isa::Avx2 => Isa::Avx2,
            Bf16Isa::Avx512 | Bf16Isa::Avx512Bf16 | Bf16Isa::Amx => Isa::Avx512,
        }
    }

    /// Whether this machine has it.
    #[inline]
    pub fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        let pairs = || is_x86_feature_detected!("avx512bf16");
        #[cfg(not(target_arch = "x86_64"))]
        let pairs = || false;
        let instructions = match self {
            Bf16Isa::Portable | Bf16Isa::Avx2 | Bf16Isa::Avx512 => true,
            Bf16Isa::Avx512Bf16 => pairs(),
            Bf16Isa::Amx => pairs() && tiles::are_available(),
        };
        instructions && self.isa().is_available()
    }

    /// The levels of this machine, from the oldest to the newest.
    pub fn available() -> impl Iterator<Item = Bf16Isa> {
        Bf16Isa::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// The newest level of this machine.
    pub fn best() -> Bf16Isa {
        Bf16Isa::available().last().unwrap_or(Bf16Isa::Portable)
    }

    /// The level that `GRADUS_ISA` names, or the best one where it is unset or empty. `avx512` means
    /// without instructions for bf16.
    ///
    /// # Errors
    /// As [`Isa::from_environment`].
    pub fn from_environment() -> Result<Bf16Isa, String> {
        Bf16Isa::requested(&std::env::var_os(ISA_VARIABLE).unwrap_or_default().to_string_lossy())
    }

    fn requested(value: &str) -> Result<Bf16Isa, String> {
        if value.is_empty() {
            return Ok(Bf16Isa::best());
        }
        let isa: Bf16Isa = value.parse()?;
        if isa.is_available() {
            return Ok(isa);
        }
        let best = Bf16Isa::best();
        Err(format!("{ISA_VARIABLE}={isa}: this processor has no {isa}; unset the variable, or set it to {best}"))
    }

    /// The level that every kernel uses unless it is given one: [`Self::from_environment`], read once.
    ///
    /// # Panics
    /// As [`Isa::active`].
    #[inline]
    pub fn active() -> Bf16Isa {
        static ACTIVE: OnceLock<Bf16Isa> = OnceLock::new();
        *ACTIVE.get_or_init(|| Bf16Isa::from_environment().unwrap_or_else(|error| panic!("{error}")))
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

impl fmt::Display for Bf16Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bf16Isa::Avx512Bf16 => f.pad("avx512bf16"),
            Bf16Isa::Amx => f.pad("amx"),
            emulated => emulated.isa().fmt(f),
        }
    }
}

impl FromStr for Isa {
    type Err = String;

    fn from_str(text: &str) -> Result<Isa, String> {
        find(Isa::ALL, text).ok_or_else(|| unknown(text, "portable, avx2 or avx512"))
    }
}

impl FromStr for Bf16Isa {
    type Err = String;

    fn from_str(text: &str) -> Result<Bf16Isa, String> {
        find(Bf16Isa::ALL, text).ok_or_else(|| unknown(text, "portable, avx2, avx512, avx512bf16 or amx"))
    }
}

fn find<L: fmt::Display>(levels: impl IntoIterator<Item = L>, text: &str) -> Option<L> {
    levels.into_iter().find(|level| level.to_string() == text)
}

fn unknown(text: &str, known: &str) -> String {
    format!("{ISA_VARIABLE}={text}: no such instruction set; unset the variable, or set it to {known}")
}

#[cfg(test)]
mod tests {
    use super::{Bf16Isa, Isa};

    #[test]
    fn names_round_trip_and_wrong_ones_are_refused() {
        for isa in Isa::ALL {
            assert_eq!(isa.to_string().parse(), Ok(isa));
        }
        for isa in Bf16Isa::ALL {
            assert_eq!(isa.to_string().parse(), Ok(isa));
        }
        assert!("sse9".parse::<Isa>().unwrap_err().ends_with("set it to portable, avx2 or avx512"));
        assert!(
            "sse9".parse::<Bf16Isa>().unwrap_err().ends_with("set it to portable, avx2, avx512, avx512bf16 or amx")
        );
        assert!(Isa::available().any(|isa| isa == Isa::Portable));
    }

    #[test]
    fn an_empty_request_is_none() {
        assert_eq!(Bf16Isa::requested(""), Ok(Bf16Isa::best()));
        assert_eq!(Bf16Isa::requested("portable"), Ok(Bf16Isa::Portable));
        assert!(Bf16Isa::requested(" ").is_err());
        if let Some(missing) = Bf16Isa::ALL.into_iter().find(|isa| !isa.is_available()) {
            let error = Bf16Isa::requested(&missing.to_string()).unwrap_err();
            assert!(error.contains(&format!("this processor has no {missing}; unset the variable")), "{error}");
        }
    }

    #[test]
    fn levels_with_and_without_instructions_for_bf16_share_all_else() {
        let more = [Bf16Isa::Avx512Bf16, Bf16Isa::Amx];
        assert!(more.iter().all(|isa| isa.isa() == Bf16Isa::Avx512.isa()));
        assert_eq!(Bf16Isa::best().isa(), Isa::best());
        assert_eq!(Bf16Isa::available().filter(|isa| !more.contains(isa)).count(), Isa::available().count());
    }
}
