//! The pictures: a roofline for each operation, and the speed-up of more threads.
//!
//! A roofline (Williams, Waterman and Patterson, 2009) has the FLOPs for a byte of memory traffic to the right and the
//! FLOPs in a second upwards, both logarithmic. What memory allows is then a slope for each level, and what the
//! arithmetic units allow is a flat roof. A point cannot be above both; how far it is below is what is left to gain.

use super::data::{Measured, Report, Scaling};
use crate::{
    Result,
    machine::{Level, plural},
    workload::Precision,
};
use plotters::{
    coord::{Shift, combinators::LogCoord, types::RangedCoordf64},
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

const SIZE: (u32, u32) = (960, 600);
const INK: RGBColor = RGBColor(0x33, 0x3a, 0x45);
const GREY: RGBColor = RGBColor(0x8a, 0x93, 0x9f);
const FAINT: RGBColor = RGBColor(0xe6, 0xe9, 0xed);
const OURS: RGBColor = RGBColor(0x3b, 0x82, 0xc4);
const TORCH: RGBColor = RGBColor(0xd9, 0x5f, 0x02);

type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type LogLog<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<LogCoord<f64>, LogCoord<f64>>>;

/// The roofline of an operation; nothing where it does no arithmetic.
///
/// # Errors
/// Where it cannot be drawn.
pub fn roofline(report: &Report, operation: &str) -> Result<Option<String>> {
    let of = |measured: &&Measured| measured.operation == operation && measured.work.flops > 0;
    let ladders: Vec<&Measured> = report.ladders.iter().filter(of).filter(|m| m.top().is_some()).collect();
    if ladders.is_empty() {
        return Ok(None);
    }
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    draw_roofline(&area, report, operation, &ladders).map_err(|error| format!("roofline of {operation}: {error}"))?;
    drop(area);
    Ok(Some(svg))
}

fn gflops(measured: &Measured, seconds: f64) -> f64 {
    measured.work.flops as f64 / seconds / 1e9
}

fn draw_roofline(area: &Area<'_>, report: &Report, operation: &str, ladders: &[&Measured]) -> Drawn {
    area.fill(&WHITE)?;
    let machine = &report.machine;
    let bf16 = ladders.iter().any(|measured| measured.problem.precision() == Precision::Bf16);
    let precision = if bf16 { Precision::Bf16 } else { Precision::F32 };
    let roof = machine.flops_per_second(machine.threads, precision) / 1e9;
    let intensities = ladders.iter().map(|measured| measured.work.intensity());
    let (left, right) = intensities.fold((0.5_f64, 64.0_f64), |(low, high), x| (low.min(x / 2.0), high.max(x * 3.0)));
    let rates = ladders.iter().flat_map(|m| m.figures.iter().map(|figure| gflops(m, figure.warm.median_s)));
    let bottom = rates.fold(roof / 100.0, f64::min) * 0.6;
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .margin_right(60)
        .caption(format!("{operation}: {}, {}", plural(machine.threads), machine.isa), text(22, INK))
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d((left..right).log_scale(), (bottom..roof * 2.0).log_scale())?;
    chart
        .configure_mesh()
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .axis_style(GREY)
        .x_desc("FLOPs for each byte of inputs and outputs")
        .y_desc("GFLOP/s")
        .x_label_formatter(&number)
        .y_label_formatter(&number)
        .label_style(text(15, INK))
        .axis_desc_style(text(16, INK))
        .draw()?;
    draw_roofs(&mut chart, report, left, right, roof)?;
    draw_points(area, &mut chart, ladders)?;
    area.present()?;
    Ok(())
}

fn draw_roofs(chart: &mut LogLog<'_, '_>, report: &Report, left: f64, right: f64, roof: f64) -> Drawn {
    let machine = &report.machine;
    let slopes = Level::ALL.map(|level| (level, machine.bytes_per_second(level, machine.threads) / 1e9));
    let mut names = Vec::new();
    for (level, bandwidth) in slopes.into_iter().filter(|(_, bandwidth)| *bandwidth > 0.0) {
        let ridge = (roof / bandwidth).clamp(left, right);
        chart.draw_series(LineSeries::new([(left, left * bandwidth), (ridge, ridge * bandwidth)], GREY))?;
        names.push(format!("{} {bandwidth:.0}", level.name()));
    }
    chart.draw_series(LineSeries::new([(left, roof), (right, roof)], INK.stroke_width(2)))?;
    let above = (left * 1.1, roof * 1.03);
    let style = text(13, GREY).pos(Pos::new(HPos::Left, VPos::Bottom));
    let slopes = format!("slopes, from the left: {} GB/s", names.join(", "));
    chart.draw_series([Text::new(slopes, above, style)])?;
    let style = text(13, INK).pos(Pos::new(HPos::Right, VPos::Bottom));
    chart.draw_series([Text::new(format!("multiply-adds {roof:.0} GFLOP/s"), (right * 0.95, roof * 1.03), style)])?;
    Ok(())
}

fn draw_points(area: &Area<'_>, chart: &mut LogLog<'_, '_>, ladders: &[&Measured]) -> Drawn {
    let mut labels = Vec::new();
    for measured in ladders {
        let x = measured.work.intensity();
        let point = |seconds| (x, gflops(measured, seconds));
        let Some(top) = measured.top() else { continue };
        let ours = measured.figures.iter().filter(|figure| !figure.peer).map(|figure| point(figure.warm.median_s));
        chart.draw_series(ours.map(|at| Circle::new(at, 3, OURS.mix(0.4))))?;
        if let Some(pytorch) = measured.pytorch {
            chart.draw_series([TriangleMarker::new(point(pytorch.median_s), 5, TORCH.filled())])?;
        }
        let top = point(top.warm.median_s);
        chart.draw_series([Circle::new(top, 5, OURS.filled())])?;
        if measured.headline || ladders.len() <= 6 {
            labels.push((chart.backend_coord(&top), measured.name.clone()));
        }
    }
    // Labels stand to the right of their points; those that would meet are moved down.
    labels.sort_by_key(|((x, y), _)| (*y, *x));
    labels.dedup_by(|((x, y), name), ((last_x, last_y), last)| {
        name == last && (*x - *last_x).abs() < 12 && (*y - *last_y).abs() < 30
    });
    let mut placed: Vec<(i32, i32, i32)> = Vec::new();
    for ((x, y), label) in labels {
        let width = 7 * label.chars().count() as i32;
        let left = x + 9 + width > SIZE.0 as i32 - 10; // no room at the right
        let start = if left { x - 9 - width } else { x + 9 };
        let meets = |y: i32, placed: &[(i32, i32, i32)]| {
            placed.iter().any(|&(s, e, at)| s < start + width && start < e && (at - y).abs() < 15)
        };
        let mut y = y;
        while meets(y, &placed) {
            y += 3;
        }
        placed.push((start, start + width, y));
        let style = text(13, INK).pos(Pos::new(if left { HPos::Right } else { HPos::Left }, VPos::Center));
        area.draw(&Text::new(label, (if left { x - 9 } else { x + 9 }, y), style))?;
    }
    legend(area)
}

fn legend(area: &Area<'_>) -> Drawn {
    let style = |color| text(13, color).pos(Pos::new(HPos::Left, VPos::Center));
    let (x, y) = (SIZE.0 as i32 - 340, SIZE.1 as i32 - 90);
    area.draw(&Circle::new((x, y), 5, OURS.filled()))?;
    area.draw(&Text::new("top rung", (x + 10, y), style(INK)))?;
    area.draw(&Circle::new((x + 95, y), 3, OURS.mix(0.4)))?;
    area.draw(&Text::new("other rungs", (x + 105, y), style(INK)))?;
    area.draw(&TriangleMarker::new((x + 200, y), 5, TORCH.filled()))?;
    area.draw(&Text::new("PyTorch", (x + 210, y), style(INK)))?;
    Ok(())
}

/// The speed-up over one thread, a line for each workload; nothing where there is one thread alone.
///
/// # Errors
/// Where it cannot be drawn.
pub fn scaling(scaling: &[Scaling]) -> Result<Option<String>> {
    let most = scaling.iter().flat_map(|line| line.points.iter().map(|point| point.0)).max().unwrap_or(1);
    if most < 2 {
        return Ok(None);
    }
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    draw_scaling(&area, scaling, most as f64).map_err(|error| format!("thread scaling: {error}"))?;
    drop(area);
    Ok(Some(svg))
}

fn draw_scaling(area: &Area<'_>, scaling: &[Scaling], most: f64) -> Drawn {
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .margin_right(300)
        .caption("Speed-up over one thread", text(22, INK))
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(1.0..most, 0.0..most * 1.15)?;
    configure_linear(&mut chart, most)?;
    chart.draw_series(DashedLineSeries::new([(1.0, 1.0), (most, most)], 5, 5, GREY.stroke_width(1)))?;
    let mut labels = vec![(chart.backend_coord(&(most, most)), "every thread counts".to_string(), GREY)];
    for (i, line) in scaling.iter().enumerate() {
        let Some(&(_, one)) = line.points.iter().find(|point| point.0 == 1) else { continue };
        let points: Vec<_> = line.points.iter().map(|(n, t)| (*n as f64, one.median_s / t.median_s)).collect();
        let color = color(i, scaling.len());
        chart.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?;
        let Some(&end) = points.last() else { continue };
        labels.push((chart.backend_coord(&end), format!("{:.2} {}", end.1, line.id), color));
    }
    labels.sort_by_key(|label| label.0.1);
    let mut free = 40.min(SIZE.1 as i32 - 60 - 15 * labels.len() as i32); // where many lines meet, start higher up
    for ((x, y), label, color) in labels {
        let y = y.max(free).min(SIZE.1 as i32 - 10);
        free = y + 15;
        area.draw(&Text::new(label, (x + 8, y), text(13, color).pos(Pos::new(HPos::Left, VPos::Center))))?;
    }
    area.present()?;
    Ok(())
}

fn configure_linear(
    chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<RangedCoordf64, RangedCoordf64>>,
    most: f64,
) -> Drawn {
    chart
        .configure_mesh()
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .axis_style(GREY)
        .x_labels((most as usize).min(16))
        .x_desc("threads")
        .y_desc("times as fast as one thread")
        .x_label_formatter(&number)
        .y_label_formatter(&number)
        .label_style(text(15, INK))
        .axis_desc_style(text(16, INK))
        .draw()?;
    Ok(())
}

fn color(index: usize, count: usize) -> RGBColor {
    let HSLColor(h, s, l) = HSLColor(index as f64 / count.max(1) as f64, 0.6, 0.42);
    let (r, g, b) = HSLColor(h, s, l).rgb();
    RGBColor(r, g, b)
}

fn text(size: u32, color: RGBColor) -> TextStyle<'static> {
    TextStyle { color: color.to_backend_color(), ..("sans-serif", size).into() }
}

/// A number without a tail of zeros.
fn number(x: &f64) -> String {
    if *x >= 1.0 { format!("{}", (x * 10.0).round() / 10.0) } else { format!("{}", (x * 1000.0).round() / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::{super::data::tests::example, *};

    #[test]
    fn a_roofline_shows_the_roofs_and_the_points() {
        let svg = roofline(&example(), "matmul").unwrap().unwrap();
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
        for text in ["L1 400, L2 200, L3 100, DRAM 50 GB/s", "multiply-adds 200 GFLOP/s", "square/1000", "PyTorch"] {
            assert!(svg.contains(text), "{text} is missing");
        }
        assert!(!svg.contains("NaN"));
        assert_eq!(roofline(&example(), "copy").unwrap(), None);
    }

    #[test]
    fn the_scaling_curve_names_each_workload_with_its_last_value() {
        let svg = scaling(&example().scaling).unwrap().unwrap();
        assert!(svg.contains("2.00 matmul/square/1000/nt") && !svg.contains("NaN"));
        assert_eq!(scaling(&[]).unwrap(), None);
    }
}
