//! What a vector of one index is: how it is compared, how many components it has, and which it may not have.
//!
//! Invariant: the distance of two admitted vectors is a finite number, for every metric. No ranking ever meets a NaN,
//! so distances are totally ordered and a search needs no case for what cannot be compared. Admission buys that: a
//! component is finite and at most [`COMPONENT_ABS_MAX`], so each term of a sum is below 4e32, and the sum of at most
//! [`Dim::MAX`] of them below 2.7e37, an order of magnitude short of where `f32` ends.

use super::kernels::{Kernels, Stripe};

/// The largest component, in absolute value.
pub(super) const COMPONENT_ABS_MAX: f32 = 1e16;

/// The smallest Euclidean norm whose inverse `f32` can hold. A shorter vector has no direction.
const NORM_MIN: f64 = f32::MIN_POSITIVE as f64;

/// By how much of itself a distance that was computed may be off: a lane adds 65,536 / 32 terms, each sum to within 2^-24.
const COMPUTED: f64 = 3e-4;

/// The Euclidean norm.
fn norm(vector: &[f32]) -> f64 {
    vector.iter().fold(0.0, |sum, &x| sum + f64::from(x) * f64::from(x)).sqrt()
}

/// How two vectors are compared. A smaller distance is a better match, for each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The squared Euclidean distance (not its root, which would rank the same and cost more).
    L2,
    /// One minus the cosine of the angle: 0 for the same direction, 2 for opposite ones.
    Cosine,
    /// The inner product, negated.
    InnerProduct,
}

impl Metric {
    /// All of them.
    pub const ALL: [Metric; 3] = [Metric::L2, Metric::Cosine, Metric::InnerProduct];

    /// How files name it. A number is never given to another.
    pub fn number(self) -> u8 {
        match self {
            Metric::L2 => 1,
            Metric::Cosine => 2,
            Metric::InnerProduct => 3,
        }
    }
}

/// How many components a vector has: 1 to [`Dim::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "usize", into = "usize")]
pub struct Dim(u32);

impl Dim {
    /// The most components of a vector.
    pub const MAX: usize = 65_536;

    /// Refuses a count that is zero or above [`Dim::MAX`].
    pub fn new(components: usize) -> Result<Self, VectorError> {
        match components {
            1..=Self::MAX => Ok(Self(components as u32)),
            found => Err(VectorError::DimOutOfRange { found }),
        }
    }

    /// The number of components.
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

impl TryFrom<usize> for Dim {
    type Error = VectorError;

    fn try_from(components: usize) -> Result<Self, VectorError> {
        Self::new(components)
    }
}

impl From<Dim> for usize {
    fn from(dim: Dim) -> usize {
        dim.get()
    }
}

/// Why a vector is not admitted, to the index or as a query.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum VectorError {
    /// A dimension that no index has.
    #[error("{found} components: a vector has 1 to {}", Dim::MAX)]
    DimOutOfRange {
        /// The number asked for.
        found: usize,
    },
    /// A vector that does not fit this index.
    #[error("{found} components where the index has {expected}")]
    WrongDim {
        /// What the index holds.
        expected: usize,
        /// What the vector has.
        found: usize,
    },
    /// A NaN or an infinity.
    #[error("component {at} is not a finite number")]
    NotFinite {
        /// Position of the component, from 0.
        at: usize,
    },
    /// A component so large that a sum of squares could overflow.
    #[error("component {at} is {found:e}: its absolute value is above {COMPONENT_ABS_MAX:e}")]
    TooLarge {
        /// Position of the component, from 0.
        at: usize,
        /// Its value.
        found: f32,
    },
    /// A zero vector, or one too short for `f32`, where only directions are compared.
    #[error("the norm is {norm:e}: under the cosine metric a vector needs a direction")]
    NoDirection {
        /// The Euclidean norm.
        norm: f64,
    },
}

/// The metric and the dimension that all vectors of one index share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Shape {
    /// How vectors are compared.
    pub metric: Metric,
    /// How many components they have.
    pub dim: Dim,
}

impl Shape {
    /// Says whether an index of this shape would take `vector`, as a row or as a query.
    pub fn check(self, vector: &[f32]) -> Result<(), VectorError> {
        self.scale(vector).map(|_| ())
    }

    /// The distance between two vectors, bit for bit as a search would report it. Slow: meant for checks and tests.
    pub fn distance(self, kernels: Kernels, row: &[f32], query: &[f32]) -> Result<f32, VectorError> {
        let scale = self.scale(row)?;
        let query = self.prepare_query(query)?;
        let mut stripes = vec![Stripe::ZERO; self.stripes()];
        Stripe::fill(&mut stripes, row, 1.0);
        Ok(self.measure(kernels, &stripes, scale, &query, f32::INFINITY, &stripes))
    }

    /// Between what a distance to `query` lies of which it is known that it is `distance` to `row`, and that `row` is off by a vector no
    /// longer than `off`. The ends are a little too far apart, for the rounding of what is computed here and was before.
    pub fn around(self, distance: f32, row: &[f32], off: f64, query: &[f32]) -> (f64, f64) {
        let distance = f64::from(distance);
        let by_root = |off: f64| {
            let root = distance.max(0.0).sqrt();
            let off = off + root * COMPUTED;
            ((root - off).max(0.0).powi(2), (root + off).powi(2))
        };
        match self.metric {
            Metric::L2 => by_root(off),
            // Of two vectors of one length that differ by so much of it, the directions differ by no more than twice that.
            Metric::Cosine => by_root(std::f64::consts::SQRT_2 * off / norm(row).max(NORM_MIN) + COMPUTED),
            Metric::InnerProduct => {
                let off = norm(query) * (off + norm(row) * COMPUTED);
                (distance - off, distance + off)
            }
        }
    }

    /// Admits a row, and gives the factor by which its components are multiplied whenever it is compared.
    ///
    /// Under the cosine metric that factor brings the norm to the root of one half. The squared Euclidean distance of
    /// two such vectors is 1 - cos, so one kernel serves both metrics, a vector is at distance exactly 0 from itself,
    /// and no distance is negative (`1 - dot` can promise neither).
    pub(super) fn scale(self, vector: &[f32]) -> Result<f32, VectorError> {
        self.check_components(vector)?;
        match self.metric {
            Metric::L2 | Metric::InnerProduct => Ok(1.0),
            Metric::Cosine => {
                let norm = norm(vector);
                if norm < NORM_MIN {
                    return Err(VectorError::NoDirection { norm });
                }
                Ok((std::f64::consts::FRAC_1_SQRT_2 / norm) as f32)
            }
        }
    }

    fn check_components(self, vector: &[f32]) -> Result<(), VectorError> {
        if vector.len() != self.dim.get() {
            return Err(VectorError::WrongDim { expected: self.dim.get(), found: vector.len() });
        }
        // No early exit: this is done for every vector, and so the compiler can do many components at once.
        if vector.iter().fold(true, |all, x| all & (x.abs() <= COMPONENT_ABS_MAX)) {
            return Ok(());
        }
        let refused = vector.iter().enumerate().find_map(|(at, x)| match x.abs() {
            size if !size.is_finite() => Some(VectorError::NotFinite { at }),
            size if size > COMPONENT_ABS_MAX => Some(VectorError::TooLarge { at, found: *x }),
            _ => None,
        });
        Err(refused.expect("some component is not within its bound"))
    }

    /// Admits a query. Unlike a row, it is scaled once, here.
    pub(super) fn prepare_query(self, vector: &[f32]) -> Result<Box<[Stripe]>, VectorError> {
        let scale = self.scale(vector)?;
        let mut query = vec![Stripe::ZERO; self.stripes()];
        Stripe::fill(&mut query, vector, scale);
        Ok(query.into_boxed_slice())
    }

    /// How many stripes a vector takes.
    pub(super) fn stripes(self) -> usize {
        self.dim.get().div_ceil(Stripe::LANES)
    }

    /// The distance of an admitted row, with its scale, to an admitted query. Exact if it is at most `bound`; otherwise
    /// some number above `bound`. `next` is the row that will be asked for next: it is fetched meanwhile.
    pub(super) fn measure(
        self,
        kernels: Kernels,
        row: &[Stripe],
        scale: f32,
        query: &[Stripe],
        bound: f32,
        next: &[Stripe],
    ) -> f32 {
        match self.metric {
            Metric::L2 | Metric::Cosine => kernels.squared_l2(row, scale, query, bound, next),
            // Not `-dot`: that would give -0.0, which a total order puts before 0.0 although the two are tied.
            Metric::InnerProduct => 0.0 - kernels.dot(row, query, next),
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the exact number is the claim")]
mod tests {
    use super::*;

    fn shape(metric: Metric, dim: usize) -> Shape {
        Shape { metric, dim: Dim::new(dim).expect("a dimension") }
    }

    fn distance(metric: Metric, a: &[f32], b: &[f32]) -> f32 {
        shape(metric, a.len()).distance(Kernels::scalar(), a, b).expect("admitted vectors")
    }

    #[test]
    fn a_dimension_is_between_one_and_its_bound() {
        assert_eq!(Dim::new(0), Err(VectorError::DimOutOfRange { found: 0 }));
        assert_eq!(Dim::new(65_537), Err(VectorError::DimOutOfRange { found: 65_537 }));
        assert_eq!(Dim::new(65_536).map(Dim::get), Ok(65_536));
    }

    #[test]
    fn each_metric_gives_the_distance_it_names() {
        assert_eq!(distance(Metric::L2, &[1.0, 2.0], &[4.0, 6.0]), 25.0);
        assert_eq!(distance(Metric::InnerProduct, &[1.0, 2.0], &[4.0, 6.0]), -16.0);
        assert!((distance(Metric::Cosine, &[3.0, 0.0], &[1.0, 1.0]) - 0.292_893_2).abs() < 1e-6);
        assert!((distance(Metric::Cosine, &[0.0, 2.0], &[0.0, -5.0]) - 2.0).abs() < 1e-6);
    }

    #[test]
    fn a_vector_is_at_cosine_distance_zero_from_itself() {
        let vector: Vec<f32> = (0..77u8).map(|i| f32::from(i).sin() * 1e-20).collect();
        assert_eq!(distance(Metric::Cosine, &vector, &vector), 0.0);
    }

    #[test]
    fn orthogonal_vectors_have_a_positive_zero_inner_product() {
        assert_eq!(distance(Metric::InnerProduct, &[0.0, 1.0], &[-1.0, 0.0]).to_bits(), 0.0f32.to_bits());
    }

    #[test]
    fn a_vector_that_could_spoil_a_ranking_is_refused() {
        let l2 = shape(Metric::L2, 2);
        assert_eq!(l2.check(&[1.0]), Err(VectorError::WrongDim { expected: 2, found: 1 }));
        assert_eq!(l2.check(&[1.0, f32::NAN]), Err(VectorError::NotFinite { at: 1 }));
        assert_eq!(l2.check(&[f32::NEG_INFINITY, 1.0]), Err(VectorError::NotFinite { at: 0 }));
        assert_eq!(l2.check(&[1.0, -2e16]), Err(VectorError::TooLarge { at: 1, found: -2e16 }));
        assert_eq!(l2.check(&[0.0, 0.0]), Ok(()));
    }

    #[test]
    fn a_vector_without_direction_is_refused_under_the_cosine_metric_only() {
        let (zero, faint) = ([0.0, 0.0], [1e-39, 0.0]);
        assert_eq!(shape(Metric::Cosine, 2).check(&zero), Err(VectorError::NoDirection { norm: 0.0 }));
        assert!(matches!(shape(Metric::Cosine, 2).check(&faint), Err(VectorError::NoDirection { .. })));
        assert_eq!(shape(Metric::InnerProduct, 2).check(&zero), Ok(()));
    }

    #[test]
    fn a_distance_lies_around_the_one_to_a_vector_that_is_a_little_off() {
        let vector = |seed: f32, by: f32| (0..40u8).map(|i| (f32::from(i) * seed).sin() + by).collect::<Vec<f32>>();
        for metric in Metric::ALL {
            for (seed, by) in [(0.1, 0.0), (1.7, 3.0), (2.3, -20.0), (0.9, 400.0)] {
                let (truly, query) = (vector(seed, by), vector(0.7, by));
                // Across it, so that its direction changes.
                let error = |at: usize, x: f32| if at.is_multiple_of(2) { x * 1e-3 } else { x * -1e-3 };
                let row: Vec<f32> = truly.iter().enumerate().map(|(at, x)| x + error(at, *x)).collect();
                let off = norm(&truly) * 1e-3;
                let (low, high) = shape(metric, 40).around(distance(metric, &row, &query), &row, off, &query);
                let found = f64::from(distance(metric, &truly, &query));
                assert!((low..=high).contains(&found), "{metric:?}: {low} {found} {high}");
                let wide = shape(metric, 40).around(distance(metric, &row, &query), &row, 2.0 * off, &query);
                assert!(wide.0 <= low && wide.1 > high, "{metric:?}: it does not look at how far off");
            }
        }
    }

    #[test]
    fn the_largest_vectors_have_finite_distances() {
        let (up, down) = (vec![COMPONENT_ABS_MAX; Dim::MAX], vec![-COMPONENT_ABS_MAX; Dim::MAX]);
        for metric in [Metric::L2, Metric::Cosine, Metric::InnerProduct] {
            assert!(distance(metric, &up, &down).is_finite());
            assert!(distance(metric, &up, &up).is_finite());
        }
    }
}
