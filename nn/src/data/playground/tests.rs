use super::*;

fn all(set: PlaneSet, noise: f64) -> Vec<([f64; 2], f32)> {
    set.points(3, 500, noise).into_iter().map(|p| (p.at.map(f64::from), p.target)).collect()
}

#[test]
fn classes_are_halves_in_random_order_and_depend_on_the_seed() {
    for set in PlaneSet::ALL.into_iter().filter(|set| set.is_classified()) {
        let points = set.points(1, 500, 0.0);
        assert_eq!(points.iter().filter(|p| p.target == 1.0).count(), 250, "{}", set.name());
        assert_eq!(points.iter().filter(|p| p.target == -1.0).count(), 250, "{}", set.name());
        let train = train_and_test(&points, 0.5).0;
        let first = train.iter().filter(|p| p.target == 1.0).count();
        assert!((90..160).contains(&first), "{}: {first} of the 250 to train on", set.name());
        assert_ne!(points, set.points(2, 500, 0.0));
        assert_eq!(points, set.points(1, 500, 0.0));
    }
}

#[test]
fn a_disc_within_a_ring() {
    for ([x, y], target) in all(PlaneSet::Circle, 0.0) {
        let radius = x.hypot(y);
        assert!(if target == 1.0 { radius < 2.5 } else { (3.499..5.001).contains(&radius) }, "{x} {y} {target}");
    }
}

#[test]
fn the_sign_of_a_product_with_a_gap() {
    let points = all(PlaneSet::Xor, 0.0);
    for ([x, y], target) in &points {
        assert!(x.abs().min(y.abs()) >= 0.299 && x.abs().max(y.abs()) <= 5.301, "{x} {y}");
        assert_eq!(f64::from(*target), (x * y).signum());
    }
    for (right, up) in [(true, true), (true, false), (false, true), (false, false)] {
        let here = points.iter().filter(|([x, y], _)| (*x > 0.0) == right && (*y > 0.0) == up).count();
        assert!((90..160).contains(&here), "{here} in a quadrant");
    }
}

#[test]
fn clouds_have_their_centres_and_variances() {
    for (noise, variance) in [(0.0, 0.5), (0.5, 4.0)] {
        for sign in [1.0, -1.0] {
            let points = PlaneSet::Gauss.points(5, 4000, noise);
            let xs: Vec<f64> = points.iter().filter(|p| p.target == sign).map(|p| f64::from(p.at[0])).collect();
            let mean = xs.iter().sum::<f64>() / xs.len() as f64;
            let spread = xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / xs.len() as f64;
            // Standard errors of 2000: √(v/2000) for the mean, v·√(2/2000) for the variance; five of each.
            assert!((mean - 2.0 * f64::from(sign)).abs() < 5.0 * (variance / 2000.0_f64).sqrt(), "{mean}");
            assert!((spread / variance - 1.0).abs() < 0.16, "{spread}, not {variance}");
        }
    }
}

#[test]
fn spirals_turn_with_their_radius() {
    for ([x, y], target) in all(PlaneSet::Spiral, 0.0) {
        let radius = x.hypot(y);
        let angle = 1.75 * 2.0 * PI * radius / 5.0 + if target == 1.0 { 0.0 } else { PI };
        let there = polar(radius, angle);
        assert!((x - there[0]).hypot(y - there[1]) < 1e-4, "{x} {y} {target}");
        assert!(radius < 5.0);
    }
}

#[test]
fn moons_are_half_circles_of_radius_3_turned_into_each_other() {
    for ([x, y], target) in all(PlaneSet::Moons, 0.0) {
        let [x, y] = [x * f64::from(target), y * f64::from(target)];
        assert!(((x + 1.5).hypot(y + 0.75) - 3.0).abs() < 1e-5 && y >= -0.7501, "{x} {y}");
    }
}

#[test]
fn slopes_and_bumps_have_the_values_of_their_formulas() {
    for (at, height) in [([5.0, 5.0], 1.0), ([6.0, 6.0], 1.0), ([-1.0, 3.0], 0.2), ([-6.0, -6.0], -1.0)] {
        assert!((slope(at) - height).abs() < 1e-12, "{at:?}");
    }
    for (at, height) in
        [([-4.0, 2.5], 1.0), ([0.0, 2.5], -1.0), ([5.0, -2.5], -0.5), ([0.0, 0.0], 0.0), ([4.0, 4.0], 0.25)]
    {
        assert!((bump(at) - height).abs() < 1e-12, "{at:?}: {}", bump(at));
    }
    assert!(all(PlaneSet::Plane, 0.0).iter().all(|(at, target)| (slope(*at) - f64::from(*target)).abs() < 1e-6));
    assert!(all(PlaneSet::MultiGauss, 0.0).iter().all(|(at, target)| (bump(*at) - f64::from(*target)).abs() < 1e-6));
}

#[test]
fn noise_changes_some_answers_and_moves_some_points() {
    let wrong = |set: PlaneSet, right: fn([f64; 2]) -> f64| {
        all(set, 0.3).iter().filter(|(at, target)| right(*at) != f64::from(*target)).count()
    };
    let (circle, xor) = (
        wrong(PlaneSet::Circle, |[x, y]| if x.hypot(y) < 3.0 { 1.0 } else { -1.0 }),
        wrong(PlaneSet::Xor, |[x, y]| (x * y).signum()),
    );
    assert!((20..200).contains(&circle) && (20..200).contains(&xor), "{circle} and {xor} of 500");
    let off = all(PlaneSet::Moons, 0.1)
        .iter()
        .filter(|([x, y], target)| {
            let sign = f64::from(*target);
            ((x * sign + 1.5).hypot(y * sign + 0.75) - 3.0).abs() > 1e-3
        })
        .count();
    assert!(off > 450, "{off}");
}

#[test]
fn a_share_to_train_on() {
    let points = PlaneSet::Gauss.points(1, 10, 0.0);
    let (train, test) = train_and_test(&points, 0.3);
    assert_eq!((train.len(), test.len()), (3, 7));
    assert_eq!([train, test].concat(), points);
}

#[test]
#[should_panic(expected = "noise is from 0 to 0.5")]
fn too_much_noise_is_refused() {
    PlaneSet::Xor.points(1, 1, 0.6);
}
