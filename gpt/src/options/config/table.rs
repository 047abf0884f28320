//! The form of a table of settings. A setting is declared once, and everything about it is made from that line:
//!
//! ```text
//! /// Attention heads per block; must divide --width
//! #[arg(value_name = "N", value_parser = size)]
//! heads: usize = [4, 4, 6], within(1, 1 << 16), fixed;
//! ```
//!
//! - the field `heads` of the settings, and of `config.json`, by its name and type;
//! - the flag `--heads`, with the comment as its help; `#[arg(…)]` is passed on to clap;
//! - the default of each preset, or one for all of them, which the help of the flag ends with;
//! - the rule that its values are checked by, on the command line and in a `config.json`;
//! - whether `--resume` refuses another value (`fixed`), or takes it over (`free`).
//!
//! What has no flag stands in `stored { … }`. An attribute `#[serde(…)]` says how a setting that earlier versions do not
//! know is saved and read.

use crate::error::{self, Error};
use std::fmt::Display;

/// Declares a struct of settings, the struct of their flags, and what leads from one to the other.
macro_rules! settings {
    (
        $(#[$about:meta])*
        $config:ident, flags $flags:ident, under $heading:literal;
        stored {$(
            $(#[doc = $stored_doc:literal])*
            $stored:ident: $stored_type:ty = $stored_default:tt $(, $stored_rule:expr)?;
        )*}
        $(
            $(#[doc = $doc:literal])*
            $(#[serde($($serde:tt)*)])?
            $(#[arg($($arg:tt)*)])?
            $name:ident: $type:ty = $default:tt, $rule:expr, $resume:ident;
        )*
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $config {
            $(
                $(#[doc = $stored_doc])*
                pub $stored: $stored_type,
            )*
            $(
                $(#[doc = $doc])*
                $(#[serde($($serde)*)])?
                pub $name: $type,
            )*
        }

        #[doc = concat!("The flags of [`", stringify!($config), "`]; those that are not given are `None`.")]
        #[derive(Clone, Debug, Default, PartialEq, clap::Args)]
        #[command(next_help_heading = $heading)]
        pub struct $flags {$(
            $(#[doc = $doc])*
            #[arg(long, allow_negative_numbers = true, $($($arg)*)?)]
            pub $name: Option<$type>,
        )*}

        impl $config {
            /// The defaults of a preset.
            pub fn of(preset: $crate::preset::Preset) -> $config {
                $config {
                    $($stored: default_of!(preset, $stored_default),)*
                    $($name: default_of!(preset, $default),)*
                }
            }

            /// Takes over the flags of a new run.
            pub fn set(&mut self, flags: &$flags) {
                $(if let Some(given) = &flags.$name {
                    self.$name = given.clone();
                })*
            }

            /// Takes over the flags of a run that is resumed.
            ///
            /// # Errors
            /// [`Error::Contradiction`](crate::Error::Contradiction) for the first flag that says something else than
            /// what was saved, where that may not change.
            pub fn set_on_resume(&mut self, flags: &$flags) -> $crate::Result<()> {
                $($crate::config::table::$resume(stringify!($name), &flags.$name, &mut self.$name)?;)*
                Ok(())
            }

            /// Checks every value by its own rule.
            fn check_each(&self) -> $crate::Result<()> {
                $($($crate::config::table::check(stringify!($stored), &self.$stored, $stored_rule)?;)?)*
                $($crate::config::table::check(&$crate::config::table::flag(stringify!($name)), &self.$name, $rule)?;)*
                Ok(())
            }

            /// The value of the setting of this name as text; `None` where there is none that has a flag.
            pub fn text_of(&self, name: &str) -> Option<String> {
                $(if name == stringify!($name) {
                    return Some(self.$name.to_string());
                })*
                None
            }
        }
    };
}

/// One default for each preset, or one for all.
macro_rules! default_of {
    ($preset:ident, [$($default:expr),*]) => {{
        let of_each: [_; $crate::preset::Preset::COUNT] = [$($default),*];
        of_each[$preset as usize].clone()
    }};
    ($preset:ident, ($default:expr)) => {
        default_of!($preset, $default)
    };
    ($preset:ident, $default:expr) => {{
        let _ = $preset;
        $default
    }};
}

pub(super) use {default_of, settings};

/// The flag of the setting of this name, without dashes before it.
pub(super) fn flag(name: &str) -> String {
    name.replace('_', "-")
}

/// Refuses a value that breaks its rule.
pub(super) fn check<T: Display>(name: &str, value: &T, rule: impl Fn(&T) -> Result<(), String>) -> error::Result<()> {
    rule(value).map_err(|problem| Error::setting(name, value, problem))
}

/// A setting that a resumed run keeps.
pub(crate) fn fixed<T: PartialEq + Display>(name: &str, given: &Option<T>, saved: &mut T) -> error::Result<()> {
    match given {
        Some(given) if given != saved => {
            Err(Error::Contradiction { flag: flag(name), given: given.to_string(), saved: saved.to_string() })
        }
        _ => Ok(()),
    }
}

/// A setting that does not change what is computed, or that says how long.
pub(super) fn free<T: Clone>(_: &str, given: &Option<T>, saved: &mut T) -> error::Result<()> {
    if let Some(given) = given {
        *saved = given.clone();
    }
    Ok(())
}
