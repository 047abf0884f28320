//! `gradus-benches report`: measures, and writes tables, pictures and raw figures into a folder.

pub mod alone;
mod beside;
#[cfg(feature = "cuda")]
pub mod card;
pub mod compare;
pub mod data;
pub mod format;
pub mod in_turn;
pub mod ladder;
pub mod page;
pub mod partner;
pub mod plan;
pub mod plots;
pub mod programs;
mod progress;
pub mod publish;
pub mod rows;
pub mod run;
pub mod tables;
pub mod torch;

use crate::{
    Result,
    machine::Host,
    timing::Effort,
    workload::{self, Workload},
};
use data::{Report, Settings};
use gradus_gpt::device::DeviceName;
use gradus_kernels::Isa;
use progress::Progress;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The flags of `report`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Arguments {
    /// Only the workloads that stand for their operation, in short: less than three minutes on two cores
    #[arg(long)]
    pub quick: bool,
    /// Only the workloads whose name contains this: softmax, matmul/gpt_small, backward
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
    /// What the machine is called in the tables [default: its processor]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Compare with this report.jsonl of an earlier run
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// A Python that has torch: it runs the same cases in between
    #[arg(long, value_name = "PYTHON")]
    pub torch: Option<String>,
    /// Where to write report.md, report.jsonl and the pictures
    #[arg(long, value_name = "DIR", default_value = "report")]
    pub out: PathBuf,
    /// What to measure: cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: DeviceName,
    /// Threads; all cores unless given
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// The workloads that the flags choose.
///
/// # Errors
/// One line where there are none.
pub fn chosen(quick: bool, only: Option<&str>) -> Result<Vec<Workload>> {
    let named = |workload: &Workload| only.is_none_or(|name| workload.id().contains(name));
    let found: Vec<Workload> = workload::all().into_iter().filter(|w| named(w) && (!quick || w.headline)).collect();
    let hint = "`gradus-benches list` prints all names";
    match only {
        Some(name) if found.is_empty() && quick => {
            Err(format!("--only {name}: --quick has no workload of that name; {hint}"))
        }
        Some(name) if found.is_empty() => Err(format!("--only {name}: no workload has that in its name; {hint}")),
        _ => Ok(found),
    }
}

/// What is measured: the processor, or a card that is there.
enum Measurable {
    Cpu,
    #[cfg(feature = "cuda")]
    Card(gradus_kernels::cuda::Gpu),
}

impl Measurable {
    fn open(name: DeviceName) -> Result<Measurable> {
        match name {
            DeviceName::Cpu => Ok(Measurable::Cpu),
            #[cfg(feature = "cuda")]
            DeviceName::Cuda(ordinal) => crate::cases::cuda::open(ordinal).map(Measurable::Card),
            #[cfg(not(feature = "cuda"))]
            DeviceName::Cuda(_) => {
                Err("these benches were built without CUDA: build them with the feature `cuda`".into())
            }
        }
        .map_err(|problem| format!("--device {name}: {problem}"))
    }

    fn name(&self) -> String {
        match self {
            Measurable::Cpu => Host::read().cpu,
            #[cfg(feature = "cuda")]
            Measurable::Card(gpu) => gpu.properties().name.clone(),
        }
    }
}

/// Measures, writes the folder, and prints the comparison and where everything is.
///
/// # Errors
/// One line for a wrong flag, a folder that cannot be written, a wrong rung, or a Python without torch.
pub fn command(arguments: &Arguments) -> Result<()> {
    Isa::from_environment()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or(cores);
    if !(1..=4096).contains(&threads) {
        return Err(format!("--threads {threads}: must be at least 1 and at most 4096"));
    }
    let workloads = chosen(arguments.quick, arguments.only.as_deref())?;
    let earlier = arguments.against.as_deref().map(Report::load).transpose()?;
    let device = Measurable::open(arguments.device)?;
    probe(&arguments.out)?; // before the minutes that it takes, not after them
    let start = |python| torch::Torch::start(python, threads, &arguments.device.to_string());
    let torch = arguments.torch.as_deref().map(start).transpose()?;
    let effort = if arguments.quick {
        Effort { seconds: 0.12, least: 3, rounds: 3 }
    } else {
        Effort { seconds: 0.15, least: 5, rounds: 5 }
    };
    let settings = Settings {
        name: arguments.name.clone().unwrap_or_else(|| device.name()),
        quick: arguments.quick,
        only: arguments.only.clone(),
        effort,
        pytorch: torch.as_ref().map(|torch| torch.version().to_string()),
        peers: cfg!(feature = "peers"),
    };
    let mut progress = Progress::new();
    let show = |what: &str, share: f64| progress.show(what, share);
    let report = match device {
        Measurable::Cpu => run::run(&plan::Plan { workloads, threads, settings }, torch, show)?,
        #[cfg(feature = "cuda")]
        Measurable::Card(gpu) => {
            let extent = crate::machine::card::Extent::CARD;
            card::run(&card::Plan { gpu, workloads, settings, extent }, torch, show)?
        }
    };
    progress.done();
    write_all(&report, &arguments.out)?;
    if let Some(earlier) = earlier {
        print!("{}", compare::render(&earlier, &report));
    }
    println!(
        "{} workloads in {:.0} s: {}",
        report.ladders.len(),
        report.seconds,
        arguments.out.join("report.md").display()
    );
    Ok(())
}

/// Writes `report.jsonl` first, then all that follows from it.
///
/// # Errors
/// One line where something cannot be drawn or written.
pub fn write_all(report: &Report, folder: &Path) -> Result<()> {
    write(&folder.join("report.jsonl"), &report.lines()?)?;
    files(report)?.into_iter().try_for_each(|(file, text)| write(&folder.join(file), &text))
}

/// What follows from a report, by the names of the files: the pictures, and the page that shows them.
///
/// # Errors
/// One line where something cannot be drawn.
pub fn files(report: &Report) -> Result<Vec<(String, String)>> {
    let (mut files, mut pictures) = (Vec::new(), Vec::new());
    let mut picture = |name: &str, file: String, svg: Option<String>| {
        if let Some(svg) = svg {
            pictures.push((name.to_string(), file.clone()));
            files.push((file, svg));
        }
    };
    picture("scaling", "thread-scaling.svg".into(), plots::scaling(&report.scaling)?);
    for operation in tables::operations(&[report]) {
        picture(&operation, format!("roofline-{operation}.svg"), plots::roofline(report, &operation)?);
    }
    files.push(("report.md".into(), page::render(&[report], page::Ladders::All, &pictures)));
    Ok(files)
}

/// That files can be written there, without touching those of an earlier run.
fn probe(folder: &Path) -> Result<()> {
    let path = folder.join("report.new");
    let tried = fs::create_dir_all(folder).and_then(|()| fs::write(&path, "")).and_then(|()| fs::remove_file(&path));
    tried.map_err(|error| format!("{}: {error}", folder.display()))
}

/// Replaces a file at once or not at all.
fn write(path: &Path, text: &str) -> Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let folder = path.parent().unwrap_or(Path::new(""));
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&new, text)).and_then(|()| fs::rename(&new, path));
    written.map_err(|error| format!("{}: {error}", path.display()))
}
