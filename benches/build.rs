//! Remembers what the figures were compiled with: the compiler and its flags.

use std::{env, process::Command};

fn main() {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().ok().map(|output| output.stdout);
    let version = version.map_or_else(|| "unknown".into(), |text| String::from_utf8_lossy(&text).trim().to_string());
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default().replace('\u{1f}', " ");
    println!("cargo::rustc-env=GRADUS_RUSTC={version}");
    println!("cargo::rustc-env=GRADUS_RUSTFLAGS={flags}");
    println!("cargo::rustc-env=GRADUS_TARGET={}", env::var("TARGET").unwrap_or_default());
    println!("cargo::rustc-env=GRADUS_OPT_LEVEL={}", env::var("OPT_LEVEL").unwrap_or_default());
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    println!("cargo::rerun-if-changed=build.rs");
}
