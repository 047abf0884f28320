//! Launching a kernel: how many blocks of how many threads, and the arguments.

use super::{Error, Gpu, Module, Result, Slice, SliceMut, driver};
use cudarc::driver::result;
use std::ffi::c_void;

/// How large a launch is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// The blocks along x, y and z.
    pub(crate) blocks: [u32; 3],
    /// The threads of a block along x, y and z.
    pub(crate) threads: [u32; 3],
    /// The bytes of shared memory that a block has beside what the kernel declares.
    pub(crate) shared: usize,
}

impl Size {
    /// `blocks` blocks of `threads` threads.
    pub(crate) fn blocks(blocks: u32, threads: u32) -> Size {
        Size { blocks: [blocks, 1, 1], threads: [threads, 1, 1], shared: 0 }
    }

    /// Blocks of `per_block` threads, so many that there is one for each of `threads` and no block has none of them.
    pub(crate) fn threads(threads: usize, per_block: u32) -> Result<Size> {
        Ok(Size::blocks(narrow("the number of blocks", threads.div_ceil(per_block as usize))?, per_block))
    }

    /// The same with `bytes` bytes of shared memory for each block.
    pub(crate) fn shared(self, bytes: usize) -> Size {
        Size { shared: bytes, ..self }
    }
}

/// A size as the kernels count it.
///
/// # Errors
/// Where it does not fit into 32 bits.
pub(crate) fn narrow(what: &'static str, size: usize) -> Result<u32> {
    u32::try_from(size).map_err(|_| Error::TooLarge { what, size })
}

/// The arguments of a launch, as they are pushed one after the other: their bits, and how many bytes each has.
#[derive(Default)]
pub(crate) struct Arguments {
    words: Vec<u64>,
    /// Of each argument the first word and the bytes.
    places: Vec<(usize, usize)>,
    /// A slice of another device, if there was one.
    foreign: Option<Gpu>,
    device: Option<Gpu>,
}

impl Arguments {
    fn push_bytes(&mut self, bytes: &[u8]) {
        self.places.push((self.words.len(), bytes.len()));
        for word in bytes.chunks(8) {
            let mut padded = [0; 8];
            padded[..word.len()].copy_from_slice(word);
            self.words.push(u64::from_ne_bytes(padded));
        }
    }

    fn push_address(&mut self, address: u64, gpu: &Gpu) {
        match &self.device {
            Some(device) if device != gpu => self.foreign = Some(gpu.clone()),
            _ => self.device = Some(gpu.clone()),
        }
        self.push_bytes(&address.to_ne_bytes());
    }
}

/// One argument of a kernel, of the type that its source names.
pub(crate) trait Argument {
    fn push(self, arguments: &mut Arguments);
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Argument for $type {
            fn push(self, arguments: &mut Arguments) {
                arguments.push_bytes(&self.to_ne_bytes());
            }
        }
        /// A struct that holds an array, in CUDA C.
        impl<const N: usize> Argument for [$type; N] {
            fn push(self, arguments: &mut Arguments) {
                let bytes: Vec<u8> = self.iter().flat_map(|number| number.to_ne_bytes()).collect();
                arguments.push_bytes(&bytes);
            }
        }
    )*};
}
numbers!(i32, u32, u64, f32, f64);

macro_rules! slices {
    ($($name:ident),*) => {$(
        impl<E> Argument for $name<'_, E> {
            fn push(self, arguments: &mut Arguments) {
                arguments.push_address(self.address(), self.gpu());
            }
        }
        /// A null pointer where there is none.
        impl<E> Argument for Option<$name<'_, E>> {
            fn push(self, arguments: &mut Arguments) {
                match self {
                    Some(slice) => slice.push(arguments),
                    None => arguments.push_bytes(&0_u64.to_ne_bytes()),
                }
            }
        }
    )*};
}
slices!(Slice, SliceMut);

/// The arguments of a kernel in their order, a tuple.
pub(crate) trait ArgumentList {
    fn push_all(self, arguments: &mut Arguments);
}

macro_rules! tuples {
    ($($name:ident)*) => { tuples!(@each [] $($name)*); };
    (@each [$($done:ident)*] $next:ident $($rest:ident)*) => {
        tuples!(@one $($done)* $next);
        tuples!(@each [$($done)* $next] $($rest)*);
    };
    (@each [$($done:ident)*]) => {};
    (@one $($name:ident)*) => {
        impl<$($name: Argument),*> ArgumentList for ($($name,)*) {
            fn push_all(self, arguments: &mut Arguments) {
                #[allow(non_snake_case)]
                let ($($name,)*) = self;
                $($name.push(arguments);)*
            }
        }
    };
}
tuples!(A B C D E F G H I J K L M N O P Q R S T U V W X);

impl Gpu {
    /// Starts the kernel `name` of `module`, after all that was started before. Nothing happens where there are no blocks.
    ///
    /// # Errors
    /// Where the kernel cannot be loaded or started on this device.
    ///
    /// # Panics
    /// Where number or widths of the arguments are not those of the PTX, or a slice is of another device.
    ///
    /// # Safety
    /// The kernel must stay within its slices for these sizes and numbers, and its arguments must have the types of its source.
    pub(crate) unsafe fn launch(
        &self,
        module: &'static Module,
        name: &'static str,
        size: Size,
        list: impl ArgumentList,
    ) -> Result<()> {
        if size.blocks.contains(&0) {
            return Ok(());
        }
        let mut arguments = Arguments::default();
        list.push_all(&mut arguments);
        assert!(arguments.foreign.is_none(), "{name}: slices of two devices");
        assert!(arguments.device.as_ref().is_none_or(|device| device == self), "{name}: slices of another device");
        self.bind()?;
        let function = self.function(module, name)?;
        assert!(
            arguments.places.iter().map(|(_, bytes)| bytes).eq(function.sizes()),
            "{name}: arguments of {:?} bytes, and the kernel takes {:?}",
            arguments.places.iter().map(|(_, bytes)| *bytes).collect::<Vec<_>>(),
            function.sizes()
        );
        let failed = |cause| Error::Launch { kernel: name, blocks: size.blocks, threads: size.threads, cause };
        function.allow_shared(size.shared).map_err(|error| failed(driver::text(error)))?;
        let words = arguments.words.as_mut_ptr();
        let mut pointers: Vec<*mut c_void> =
            arguments.places.iter().map(|&(first, _)| words.wrapping_add(first).cast()).collect();
        let ([x, y, z], [threads_x, threads_y, threads_z]) = (size.blocks, size.threads);
        // SAFETY: the function is loaded, each pointer leads to as many bytes as the kernel reads there, and the rest is what the
        // caller has promised.
        let result = unsafe {
            result::launch_kernel(
                function.handle(),
                (x, y, z),
                (threads_x, threads_y, threads_z),
                size.shared as u32,
                self.stream(),
                &mut pointers,
            )
        };
        result.map_err(|error| failed(driver::text(error)))
    }
}
