//! `gradus play`: a small network on points of a plane, with every setting at hand.

use crate::{
    error::{Error, Result},
    files::{self, Disk},
    output,
    play::PlayArgs,
    plot::{network_blocks, network_picture},
    run_folder::{names, ownership},
};
use gradus_nn::Module;
use gradus_nn::playground::{Losses, Playground, Settings};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// The size of the map in characters, which are about twice as high as wide.
const COLUMNS: usize = 48;
const ROWS: usize = 24;

/// Trains, shows how, and draws the network.
///
/// # Errors
/// A setting that no network can be trained with; a file in the way; those of writing.
pub fn run(args: &PlayArgs) -> Result<()> {
    let settings = args.merged()?;
    let fallback = Path::new("out").join(names::PLAY);
    let path = args.out.as_deref().unwrap_or(&fallback);
    if args.out.is_none() {
        ownership::check(path)?;
    }
    if path.is_dir() {
        return Err(Error::setting("out", path.display(), "is a folder: give the name of a file"));
    }
    let mut playground = Playground::new(settings).map_err(|e| Error::setting(e.name, e.value, e.rule))?;
    output::line(&described(&playground))?;
    train(&mut playground)?;
    let line = status(&playground, playground.losses());
    let svg = network_picture(&playground, &title(playground.settings()), &line)?;
    if let Some(folder) = path.parent() {
        files::create_dirs(&Disk, folder)?;
    }
    match args.out {
        Some(_) => files::write(&Disk, path, svg.as_bytes())?, // what is there has been named, and is replaced
        None => ownership::write_picture(&Disk, path, &svg)?,
    }
    output::line(&format!("done: {line}, {}", path.display()))
}

/// Every epoch, with the map live on a terminal, and as ten lines and a last map elsewhere.
fn train(playground: &mut Playground) -> Result<()> {
    let epochs = playground.settings().epochs;
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
    let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = Some(bar.with_style(style)).filter(|bar| !bar.is_hidden());
    let mut shown: Option<Instant> = None;
    for epoch in 0..=epochs {
        let due = match &bar {
            Some(_) => shown.is_none_or(|at| at.elapsed() >= Duration::from_millis(100)) || epoch == epochs,
            None => epoch % epochs.div_ceil(10).max(1) == 0 || epoch == epochs,
        };
        if due {
            shown = Some(Instant::now());
            let losses = playground.losses();
            let line = status(playground, losses);
            match &bar {
                Some(bar) => bar.set_message(format!("{line}\n{}", map(playground))),
                None => output::line(&line)?,
            }
            if !losses.train.is_finite() {
                return Err(Error::NotFinite { what: "the loss", at: None, hint: "give a smaller --lr" });
            }
        }
        if epoch < epochs {
            playground.train_epoch();
        }
    }
    match &bar {
        Some(bar) => bar.abandon(),
        None => output::line(&map(playground))?,
    }
    Ok(())
}

/// The answer over the plane, in a frame.
fn map(playground: &Playground) -> String {
    let edge = "─".repeat(COLUMNS);
    let rows = network_blocks(playground, COLUMNS, ROWS).into_iter().map(|row| format!("│{row}│\n"));
    format!("┌{edge}┐\n{}└{edge}┘", rows.collect::<String>())
}

fn status(playground: &Playground, Losses { train, test }: Losses) -> String {
    let (epoch, epochs) = (playground.epoch(), playground.settings().epochs);
    format!("epoch {epoch}/{epochs}, train loss {train:.4}, test loss {test:.4}")
}

fn title(settings: &Settings) -> String {
    let Settings { data, noise, points, .. } = settings;
    format!("{}: {points} points, noise {noise}", data.name())
}

/// What is trained, on what, and how.
fn described(playground: &Playground) -> String {
    let settings = playground.settings();
    let features: Vec<&str> = settings.features.iter().map(|feature| feature.name()).collect();
    let hidden: Vec<String> = settings.hidden.iter().map(usize::to_string).collect();
    let hidden =
        if hidden.is_empty() { "none".into() } else { format!("{} {}", hidden.join(","), settings.activation.name()) };
    format!(
        "{}, {} to train on; inputs {}; hidden {hidden}; {} parameters; penalty {} {}, lr {}, batch {}",
        title(settings),
        playground.train().len(),
        features.join(","),
        playground.network().parameter_count(),
        settings.penalty.name(),
        settings.penalty_rate,
        settings.learning_rate,
        settings.batch
    )
}
