//! The words of word mode: friendly, at most eight letters, no word in both lists, nothing that
//! turns sour beside another. Kept as text, which is the smallest form in the component.

/// The word at a place of a list; every byte is a place.
pub(super) fn word(list: &'static str, place: u8) -> &'static str {
    list.split(' ').nth(usize::from(place)).unwrap_or_default()
}

/// 256 adjectives.
pub(super) const ADJECTIVES: &str = "\
    able amber amiable ample apt aqua ardent artful autumn awake azure balmy basic beaming \
    blithe blue bold bonny boreal brave breezy bright brisk broad bronze busy calm candid \
    canny caring cheery chief choice citrus civic classic clean clear clever cloudy coastal \
    cobalt cool copper coral cordial cosmic cosy crimson crisp cubic curious daily dainty \
    dapper daring deft digital direct distant dotted downy dreamy driven durable dusky dynamic \
    eager early earnest earthy easy elated elegant emerald epic ethical exact expert fair \
    famed famous fancy fast festive fine firm first fleet floral fluent fond formal forward \
    frank free fresh frosty frugal gallant gentle genuine gifted gilded giving glad gleaming \
    glossy golden good grand great green handy happy hearty helpful hidden honest humble ideal \
    indigo inner ivory jade jaunty jolly jovial joyful just keen kind lasting lavish leafy \
    level light lilac lively local lofty logical loyal lucid lucky lunar magic main major \
    maple marine mellow merry mighty mild mindful minty misty modern modest mossy musical \
    natural nautical navy neat new nice nifty nimble noble nordic novel olive open optimal \
    orange ornate outer patient pearly placid plucky poetic polar polite prime prompt proper \
    proud prudent pure quaint quartz quick quiet radiant rapid rare ready regal rich robust \
    rosy round royal ruby rustic sage sandy scenic serene shiny silent silver simple sincere \
    sleek smart smooth snowy solar solid sonic special spiral spry stable starry stellar \
    sterling sturdy subtle sunlit sunny sure swift tall teal tidy tranquil true trusty upbeat \
    upright urban valiant velvet vital vivid warm witty wooden woven zesty zippy";

/// 256 nouns.
pub(super) const NOUNS: &str = "\
    abacus acorn agate alcove almanac alpaca anchor antler apple apricot arbor arch archway \
    arrow aspen aster atlas atoll attic aurora avenue badge bagel bakery balcony banjo barn \
    basil basin bay beach beacon bell birch biscuit blossom boulder bramble branch brass \
    bridge brook bucket buoy cabin cactus camera canal candle canoe canvas canyon caravan \
    castle cedar cello chalet charm chime cinder citadel clay cliff clock cloud clover cobble \
    comet compass cottage cove crater creek crest crystal cypress daisy dale dawn delta dew \
    dome dove dune easel echo elder elm ember falcon fern ferry fiddle field finch fjord flame \
    flute forest forge galaxy garden garnet gate geyser ginger glacier glade globe granite \
    grove guitar gull hammock harbor harp haven hazel heath hedge heron hill hollow horizon \
    iceberg inlet island ivy jasmine jetty juniper kayak kettle keystone kite lagoon lake lamp \
    lantern lark laurel lemon lens library lichen lily linden loom lotus lute lyre mango \
    marble marina market meadow mesa meteor mill mint mirror moon mosaic moss nebula nest \
    nutmeg oak oasis oboe ocean orbit orchard orchid osprey otter owl paddle panda pantry \
    papaya parade park pasture path pear pebble penguin peony pepper piano pier pigment pine \
    plain planet plateau plaza plum pond poplar poppy prairie prism puffin quarry quill quilt \
    raft rainbow raven reef ribbon ridge river robin rocket saffron sail sequoia shore signal \
    sketch sky slope sparrow spruce star stone stream summit sundial swan terrace thicket \
    thistle tide timber toucan tower trail tulip tundra turbine valley violet vista voyage \
    walnut wave wharf willow window wren yacht zenith";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn the_lists_are_what_they_must_be() {
        let lists = [ADJECTIVES, NOUNS].map(|list| list.split(' ').collect::<Vec<_>>());
        assert_eq!(lists.each_ref().map(Vec::len), [256, 256]);
        let all: BTreeSet<&str> = lists.iter().flatten().copied().collect();
        assert_eq!(all.len(), 512, "a word stands twice");
        for word in all {
            let plain = word.bytes().all(|c| c.is_ascii_lowercase());
            assert!(plain && (2..=8).contains(&word.len()), "{word}");
        }
        assert_eq!((word(NOUNS, 0), word(ADJECTIVES, 255)), ("abacus", "zippy"));
    }
}
