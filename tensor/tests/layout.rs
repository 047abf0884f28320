//! Views held against a model of a tensor that does everything element by element.

use gradus_tensor::layout::broadcast_shapes;
use gradus_tensor::{Layout, Tensor};
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

/// The storage positions of a layout's elements, row-major.
fn positions(layout: &Layout) -> Vec<usize> {
    let position =
        |index: Vec<usize>| layout.offset() + index.iter().zip(layout.strides()).map(|(i, s)| i * s).sum::<usize>();
    indices(layout.shape()).into_iter().map(position).collect()
}

fn shapes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0_usize..5, 0..5)
}

/// A layout after some random permutations and slices.
fn layouts() -> impl Strategy<Value = Layout> {
    let steps = prop::collection::vec((any::<bool>(), any::<usize>(), any::<usize>(), any::<usize>()), 0..4);
    (shapes(), steps).prop_map(|(shape, steps)| {
        let mut layout = Layout::contiguous(&shape).unwrap();
        for (slice, a, b, c) in steps {
            if layout.rank() == 0 {
                break;
            }
            let axis = a % layout.rank();
            if slice {
                let size = layout.shape()[axis];
                let start = b % (size + 1);
                layout = layout.slice(axis, start..start + c % (size - start + 1)).unwrap();
            } else {
                let mut axes: Vec<usize> = (0..layout.rank()).collect();
                axes.swap(axis, b % layout.rank());
                layout = layout.permute(&axes).unwrap();
            }
        }
        layout
    })
}

proptest! {
    #[test]
    fn a_contiguous_layout_counts_up(shape in shapes()) {
        let layout = Layout::contiguous(&shape).unwrap();
        prop_assert!(layout.is_contiguous());
        prop_assert_eq!(positions(&layout), (0..layout.len()).collect::<Vec<_>>());
    }

    #[test]
    fn contiguous_means_side_by_side(layout in layouts()) {
        let side_by_side = (layout.offset()..layout.offset() + layout.len()).collect::<Vec<_>>();
        prop_assert_eq!(layout.is_contiguous(), positions(&layout) == side_by_side);
        prop_assert!(positions(&layout).iter().all(|&p| p < layout.end()));
    }

    #[test]
    fn reshape_keeps_the_order_or_says_that_it_cannot(layout in layouts(), cut in any::<usize>()) {
        // Factor the number of elements in some way.
        let len = layout.len();
        let divisors: Vec<usize> = (1..=len).filter(|d| len % d == 0).collect();
        let first = divisors.get(cut % divisors.len().max(1)).copied().unwrap_or(0);
        let shape = if len == 0 { vec![0, 3] } else { vec![first, 1, len / first] };
        match layout.reshape(&shape) {
            Ok(reshaped) => {
                prop_assert_eq!(reshaped.shape(), shape.as_slice());
                prop_assert_eq!(positions(&reshaped), positions(&layout));
            }
            Err(_) => prop_assert!(!layout.is_contiguous()),
        }
    }

    #[test]
    fn permute_moves_the_axes(layout in layouts(), swap in (any::<usize>(), any::<usize>())) {
        prop_assume!(layout.rank() > 0);
        let mut axes: Vec<usize> = (0..layout.rank()).collect();
        axes.swap(swap.0 % layout.rank(), swap.1 % layout.rank());
        let permuted = layout.permute(&axes).unwrap();
        for index in indices(permuted.shape()) {
            let mut original = vec![0; axes.len()];
            axes.iter().zip(&index).for_each(|(&axis, &i)| original[axis] = i);
            let at = |l: &Layout, index: &[usize]| l.offset() + index.iter().zip(l.strides()).map(|(i, s)| i * s).sum::<usize>();
            prop_assert_eq!(at(&permuted, &index), at(&layout, &original));
        }
    }

    #[test]
    fn broadcasting_is_that_of_numpy(a in shapes(), b in shapes()) {
        let rank = a.len().max(b.len());
        let padded = |shape: &[usize]| [vec![1; rank - shape.len()], shape.to_vec()].concat();
        let (pa, pb) = (padded(&a), padded(&b));
        let fits = pa.iter().zip(&pb).all(|(x, y)| x == y || *x == 1 || *y == 1);
        match broadcast_shapes("test", &a, &b) {
            Ok(shape) => {
                prop_assert!(fits);
                let layout = Layout::contiguous(&a).unwrap().broadcast_to(&shape).unwrap();
                let expected: Vec<usize> = indices(&shape).into_iter().map(|index| {
                    let own: Vec<usize> = index.iter().zip(&pa).map(|(&i, &size)| if size == 1 { 0 } else { i }).collect();
                    own.iter().zip(&pa).fold(0, |position, (i, size)| position * size + i)
                }).collect();
                prop_assert_eq!(positions(&layout), expected);
            }
            Err(_) => prop_assert!(!fits),
        }
    }

    #[test]
    fn a_copy_of_a_view_holds_its_elements(layout in layouts()) {
        // The same steps on a tensor: its elements are their positions.
        let data: Vec<u32> = (0..layout.end() as u32).collect();
        let expected: Vec<u32> = positions(&layout).into_iter().map(|p| p as u32).collect();
        let tensor = Tensor::from_slice(&data, &[data.len()]);
        let gathered: Vec<u32> = positions(&layout).into_iter().map(|p| tensor.as_host_slice::<u32>()[p]).collect();
        prop_assert_eq!(gathered, expected);
    }
}

#[test]
fn errors_name_the_operation_the_shapes_and_the_axis() {
    let layout = Layout::contiguous(&[2, 3]).unwrap();
    let text = |result: gradus_tensor::Result<Layout>| result.unwrap_err().to_string();
    assert_eq!(text(layout.slice(1, 2..5)), "slice: the range leaves the axis: [2, 3] (2..5 of 3)");
    assert_eq!(text(layout.slice(2, 0..1)), "slice: no such axis: [2, 3] (axis 2 of 2)");
    assert_eq!(text(layout.reshape(&[4])), "reshape: the numbers of elements differ: [2, 3] × [4] (6 ≠ 4)");
    assert_eq!(text(layout.permute(&[0, 0])), "permute: not a permutation: [2, 3] ([0, 0] is no order of 2 axes)");
    assert_eq!(text(layout.broadcast_to(&[2, 4])), "broadcast: does not fit: [2, 3] × [2, 4] (3 ≠ 4)");
    let transposed = layout.permute(&[1, 0]).unwrap();
    assert_eq!(
        text(transposed.reshape(&[6])),
        "reshape: not possible as a view: [3, 2] × [6] (call contiguous() first)"
    );
    let huge = Layout::contiguous(&[usize::MAX, 2]).unwrap_err();
    assert!(huge.to_string().starts_with("shape: more elements than can be addressed"));
    assert!(Layout::contiguous(&[1; 7]).unwrap_err().to_string().contains("at most 6"));
}
