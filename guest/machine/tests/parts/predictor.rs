//! Health tests at the very value at which a cut-off is reached.

use otscert_machine::entropy::health::{
    Fault, LAG_HITS, LAG_RUN, LAG_WINDOW, LAGS, LagPredictor, proportion_cutoff,
};

/// Computed apart from this, with 60 digits; such as a slip in a sum or in either tail changes.
#[test]
fn cut_offs_are_those_of_an_exact_binomial_distribution() {
    for (entropy, alpha, cutoff) in [
        (416, 20, 219),
        (1024, 30, 71),
        (1280, 30, 46),
        (1792, 40, 26),
    ] {
        assert_eq!(proportion_cutoff(entropy, alpha), cutoff, "{entropy}/256");
    }
}

#[test]
fn a_clock_that_stands_still_is_foretold_in_a_row() {
    let mut predictor = LagPredictor::new();
    let last = LAGS + usize::from(LAG_RUN);
    for value in 1..last {
        assert_eq!(predictor.add(7), Ok(false), "value {value}");
    }
    let got = LAG_RUN;
    assert_eq!(predictor.add(7), Err(Fault::ForetoldInARow { got }));
}

/// Of the last values the one that was right most often foretells the next, not the one that was
/// right last: a value that comes twice in a row now and then is a miss, and no more than that.
#[test]
fn a_pattern_that_stumbles_is_foretold_as_often_as_it_repeats() {
    let values: Vec<u8> = (0..usize::from(LAG_WINDOW))
        .map(|at| if at % 60 == 59 { at - 1 } else { at })
        .map(|at| (at % LAGS) as u8)
        .collect();
    // Of the first value that repeats it is learnt which of the last ones foretells.
    let foretold = (LAGS + 1..values.len()).filter(|at| values[*at] == values[at - LAGS]);
    let last = foretold.clone().nth(usize::from(LAG_HITS) - 1).unwrap();

    let mut predictor = LagPredictor::new();
    for (at, value) in values[..last].iter().enumerate() {
        assert_eq!(predictor.add(*value), Ok(false), "value {at}");
    }
    let got = LAG_HITS;
    assert_eq!(predictor.add(values[last]), Err(Fault::Foretold { got }));
}
