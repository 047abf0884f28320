use super::*;

#[test]
fn film_is_weather_and_price_or_friend() {
    let cases = film();
    for (i, case) in cases.iter().enumerate() {
        let [weather, price, friend] = case.inputs.map(|x| x == 1.0);
        assert_eq!(case.label, weather && (price || friend), "{case:?}");
        assert!(cases[..i].iter().all(|other| other.inputs != case.inputs), "{case:?} comes twice");
    }
    assert_eq!(cases.iter().filter(|case| case.label).count(), 3);
    let number = |case: &Example<3>| case.inputs.iter().fold(0, |number, bit| 2 * number + *bit as usize);
    assert!(cases.iter().enumerate().all(|(i, case)| number(case) == i), "the cases are counted in binary");
}

#[test]
fn xor_is_true_for_exactly_one() {
    let answers: Vec<_> = xor().iter().map(|case| (case.inputs[0] + case.inputs[1], case.label)).collect();
    assert_eq!(answers, [(0.0, false), (1.0, true), (1.0, true), (2.0, false)]);
}

#[test]
fn spirals_have_the_points_of_the_paper() {
    let points = two_spirals(1);
    assert_eq!(points.len(), 194);
    assert_eq!(points.iter().filter(|p| p.label).count(), 97);
    assert_eq!(points[0], Example { inputs: [0.0, 6.5], label: true });
    // A quarter turn is 8 steps: radius 6.5·96/104 = 6, on the x axis.
    let quarter = points[16].inputs;
    assert!((quarter[0] - 6.0).abs() < 1e-6 && quarter[1].abs() < 1e-6, "{quarter:?}");
    let last = points[192].inputs;
    assert!((last[0].hypot(last[1]) - 0.5).abs() < 1e-6, "{last:?}");
    for pair in points.chunks(2) {
        assert_eq!(pair[0].inputs, pair[1].inputs.map(|x| -x));
        assert!(pair[0].label && !pair[1].label);
    }
}

#[test]
fn denser_spirals_pass_through_the_same_points() {
    let (points, dense) = (two_spirals(1), two_spirals(4));
    assert_eq!(dense.len(), 770);
    for (i, p) in points.iter().enumerate() {
        assert_eq!(*p, dense[4 * (i - i % 2) + i % 2]);
    }
}

#[test]
#[should_panic(expected = "at least 1")]
fn spirals_of_no_points_are_refused() {
    two_spirals(0);
}
