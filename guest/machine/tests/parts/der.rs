//! Writing DER by hand, right or wrong.

/// One element, of at most 64 KiB.
pub(crate) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let len = content.len();
    let mut element = vec![tag];
    match len {
        0..0x80 => element.push(len as u8),
        0x80..0x100 => element.extend([0x81, len as u8]),
        _ => element.extend([0x82, (len >> 8) as u8, len as u8]),
    }
    element.extend(content);
    element
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, parts)
}

pub(crate) fn dns(name: &str) -> Vec<u8> {
    tlv(0x82, &[name.as_bytes()])
}
