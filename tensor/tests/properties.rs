//! Operations against a few lines that do the same element by element, for random shapes.

use gradus_kernels::oracle::values;
use gradus_tensor::Tensor;
use gradus_tensor::ops::elementwise::Binary;
use gradus_tensor::ops::reduce::Reduce;
use gradus_tensor::ops::shape::concat;
use proptest::prelude::*;

/// All indices of a shape, row-major.
fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    let index = |mut i: usize| {
        let mut index = vec![0; shape.len()];
        for axis in (0..shape.len()).rev() {
            index[axis] = i % shape[axis];
            i /= shape[axis];
        }
        index
    };
    (0..shape.iter().product()).map(index).collect()
}

fn tensor(seed: u64, shape: &[usize]) -> Tensor {
    let data: Vec<f64> = values(seed, shape.iter().product()).into_iter().map(f64::from).collect();
    Tensor::from_slice(&data, shape)
}

/// The element of a contiguous tensor at an index of a shape that it broadcasts to.
fn at(x: &Tensor, index: &[usize]) -> f64 {
    let own = &index[index.len() - x.rank()..];
    let place = own.iter().zip(x.shape()).fold(0, |place, (&i, &size)| place * size + if size == 1 { 0 } else { i });
    x.as_host_slice::<f64>()[place]
}

/// A shape, and two that broadcast to it.
fn broadcastable() -> impl Strategy<Value = (Vec<usize>, Vec<usize>, Vec<usize>)> {
    prop::collection::vec((0_usize..4, 0_u8..4), 0..5).prop_flat_map(|axes| {
        let part = |bit: u8| -> Vec<usize> { axes.iter().map(|&(n, ones)| if ones == bit { 1 } else { n }).collect() };
        let (full, a, b) = (axes.iter().map(|&(n, _)| n).collect::<Vec<_>>(), part(1), part(2));
        let leading_ones = a.iter().take_while(|&&n| n == 1).count();
        (Just(full), Just(a), Just(b), 0..=leading_ones).prop_map(|(full, a, b, drop)| (full, a[drop..].to_vec(), b))
    })
}

proptest! {
    #[test]
    fn operators_broadcast((full, a, b) in broadcastable()) {
        let (a, b) = (tensor(1, &a), tensor(2, &b));
        let y = a.binary(Binary::Sub, &b);
        prop_assert_eq!(y.shape(), full.as_slice());
        let expected: Vec<f64> = indices(&full).iter().map(|index| at(&a, index) - at(&b, index)).collect();
        prop_assert_eq!(y.to_vec::<f64>(), expected);
    }

    /// sum_to is the transpose of broadcast_to: ⟨broadcast(x), y⟩ = ⟨x, sum_to(y)⟩.
    #[test]
    fn summing_up_is_the_transpose_of_broadcasting((full, a, _) in broadcastable()) {
        let (x, y) = (tensor(1, &a), tensor(2, &full));
        let product = |a: &Tensor, b: &Tensor| -> f64 {
            a.to_vec::<f64>().iter().zip(b.to_vec::<f64>()).map(|(a, b)| a * b).sum()
        };
        let (left, right) = (product(&x.broadcast_to(&full), &y), product(&x, &y.sum_to(&a)));
        prop_assert!((left - right).abs() < 1e-12, "{} {}", left, right);
    }

    #[test]
    fn reductions_over_any_axes(shape in prop::collection::vec(1_usize..5, 0..5), chosen in any::<u8>(), keep in any::<bool>()) {
        let axes: Vec<usize> = (0..shape.len()).filter(|axis| chosen >> axis & 1 == 1).collect();
        let x = tensor(1, &shape);
        let kept_shape: Vec<usize> = shape.iter().enumerate().map(|(axis, &n)| if axes.contains(&axis) { 1 } else { n }).collect();
        let groups: Vec<Vec<f64>> = indices(&kept_shape).iter().map(|kept| {
            let matches = |index: &Vec<usize>| (0..shape.len()).all(|axis| axes.contains(&axis) || index[axis] == kept[axis]);
            indices(&shape).iter().filter(|index| matches(index)).map(|index| at(&x, index)).collect()
        }).collect();
        for op in [Reduce::Sum, Reduce::Mean, Reduce::Max, Reduce::Min, Reduce::Variance { correction: 0 }] {
            let y = x.reduce(op, &axes, keep);
            let squeezed: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).map(|axis| shape[axis]).collect();
            prop_assert_eq!(y.shape(), if keep { kept_shape.as_slice() } else { squeezed.as_slice() });
            for (got, group) in y.to_vec::<f64>().iter().zip(&groups) {
                let (n, sum) = (group.len() as f64, group.iter().sum::<f64>());
                let expected = match op {
                    Reduce::Sum => sum,
                    Reduce::Mean => sum / n,
                    Reduce::Max => group.iter().copied().fold(f64::MIN, f64::max),
                    Reduce::Min => group.iter().copied().fold(f64::MAX, f64::min),
                    Reduce::Variance { .. } => group.iter().map(|x| (x - sum / n).powi(2)).sum::<f64>() / n,
                };
                prop_assert!((got - expected).abs() < 1e-12, "{:?} {} {}", op, got, expected);
            }
        }
    }

    #[test]
    fn products_of_batches((full, a, b) in broadcastable(), m in 0_usize..4, k in 0_usize..4, n in 0_usize..4) {
        let (a, b) = (tensor(1, &[&a[..], &[m, k]].concat()), tensor(2, &[&b[..], &[k, n]].concat()));
        let c = a.matmul(&b);
        let shape = [&full[..], &[m, n]].concat();
        prop_assert_eq!(c.shape(), shape.as_slice());
        for (index, got) in indices(&shape).iter().zip(c.to_vec::<f64>()) {
            let (batch, [i, j]) = (&index[..full.len()], [index[full.len()], index[full.len() + 1]]);
            let term = |l: usize| at(&a, &[batch, &[i, l]].concat()) * at(&b, &[batch, &[l, j]].concat());
            let expected: f64 = (0..k).map(term).sum();
            prop_assert!((got - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn split_and_concat_undo_each_other(shape in prop::collection::vec(1_usize..6, 1..4), axis in any::<usize>(), cut in any::<usize>()) {
        let axis = axis % shape.len();
        let cut = cut % (shape[axis] + 1);
        let x = tensor(1, &shape);
        let parts = x.split(axis, &[cut, shape[axis] - cut]);
        prop_assert!(parts.iter().all(|part| part.shares_storage_with(&x)), "parts are views");
        let joined = concat(&[&parts[0], &parts[1]], axis).unwrap();
        prop_assert_eq!(joined.to_vec::<f64>(), x.to_vec::<f64>());

        let mut written = Tensor::zeros_of(x.dtype(), &shape);
        written.write_slice(axis, 0, &parts[0]);
        written.write_slice(axis, cut, &parts[1]);
        prop_assert_eq!(written.to_vec::<f64>(), x.to_vec::<f64>());
    }

    /// Writing into a tensor leaves every other holder of its memory as it was.
    #[test]
    fn writing_copies_what_is_shared(shape in prop::collection::vec(1_usize..5, 1..4)) {
        let x = tensor(1, &shape);
        let (before, view) = (x.to_vec::<f64>(), x.slice(0, 0..1));
        let mut changed = x.clone();
        changed.make_host_mut::<f64>().fill(9.0);
        prop_assert_eq!(x.to_vec::<f64>(), before.clone());
        prop_assert_eq!(view.to_vec::<f64>(), before[..view.len()].to_vec());
        prop_assert!(changed.to_vec::<f64>().iter().all(|&x| x == 9.0));
    }
}
