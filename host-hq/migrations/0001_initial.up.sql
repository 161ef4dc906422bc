-- The first schema. docs/DATA_MODEL.md tells the same with reasons.
-- Times are milliseconds since 1970. The host never decodes a record.

-- What the component stores: its state about devices, keys and names.
CREATE TABLE record (
    key        TEXT    NOT NULL PRIMARY KEY, -- [a-z0-9/_-]{1,128}
    value      BLOB    NOT NULL,             -- opaque to the host, at most 256 KiB
    version    INTEGER NOT NULL,             -- never used twice in this table: a removed and recreated key differs
    expires_ms INTEGER                       -- from then on it reads as absent; NULL: never
) STRICT;
CREATE INDEX record_expires ON record (expires_ms) WHERE expires_ms IS NOT NULL;

-- Exchanges that the component submitted and that have not been answered.
CREATE TABLE outbox (
    id               INTEGER NOT NULL PRIMARY KEY, -- rises: the order of submission
    subject          TEXT    NOT NULL,             -- whose exchange it is: device/…, own
    exchange         INTEGER NOT NULL,             -- number of the exchange, an unsigned integer in two's complement
    peer             TEXT    NOT NULL              -- who is asked:
        CHECK (peer IN (
            'ca',                                  -- a CA of the config
            'dns'                                  -- the zone
        )),
    lane             TEXT    NOT NULL,             -- the CA's name; 'zone' for dns
    operation        TEXT    NOT NULL,             -- the operation's name, for people
    request          TEXT    NOT NULL,             -- the operation as JSON
    state            TEXT    NOT NULL              -- where it stands:
        CHECK (state IN (
            'waiting',                             -- to be leased from not_before_ms on
            'leased',                              -- a worker has it until lease_expires_ms
            'parked'                               -- its answer trapped the component too often: a person must look
        )),
    not_before_ms    INTEGER NOT NULL,             -- not leased before then
    lease_token      INTEGER,                      -- whoever knows it holds the lease; NULL unless leased
    lease_expires_ms INTEGER,                      -- from then on anybody may lease it; NULL unless leased
    attempts         INTEGER NOT NULL,             -- how often it was leased in order to be performed
    answer           TEXT,                         -- the outcome as JSON, if it was performed and could not be told
    traps            INTEGER NOT NULL,             -- how often telling the outcome trapped the component
    created_ms       INTEGER NOT NULL,             -- when it was submitted
    UNIQUE (subject, exchange)
) STRICT;
CREATE INDEX outbox_lane ON outbox (peer, lane, state, not_before_ms);

-- What lists, scheduler and metrics query about a subject; the component replaces a row as a whole.
CREATE TABLE summary (
    subject         TEXT    NOT NULL PRIMARY KEY, -- device/…, own
    kind            TEXT    NOT NULL,             -- 'device' or 'own'
    state           TEXT    NOT NULL,             -- name of the state (docs/ARCHITECTURE.md)
    reason          TEXT    NOT NULL,             -- for people
    name            TEXT,                         -- the granted name, without '*.'; NULL: none yet
    model           TEXT    NOT NULL,             -- as the device says
    not_after_ms    INTEGER,                      -- end of the certificate; NULL: none
    wake_at_ms      INTEGER,                      -- the component wants to hear 'due' then; NULL: never
    last_contact_ms INTEGER,                      -- last message from the device; NULL: none
    updated_ms      INTEGER NOT NULL,             -- when this row was written
    due_after_ms    INTEGER                       -- the host's own patience: no 'due' before then; NULL: at once
) STRICT;
CREATE INDEX summary_wake ON summary (wake_at_ms) WHERE wake_at_ms IS NOT NULL;
CREATE INDEX summary_name ON summary (name) WHERE name IS NOT NULL;
CREATE INDEX summary_state ON summary (kind, state);

-- What happened, for people.
CREATE TABLE history (
    id      INTEGER NOT NULL PRIMARY KEY, -- rises: the order of events
    subject TEXT    NOT NULL,             -- device/…, own
    at_ms   INTEGER NOT NULL,             -- when
    kind    TEXT    NOT NULL,             -- stable word, for filters and metrics
    text    TEXT    NOT NULL              -- for people
) STRICT;
CREATE INDEX history_subject ON history (subject, id);
CREATE INDEX history_at ON history (at_ms);

-- Signs that this database was restored from a backup: one row an event, however many devices it is about.
CREATE TABLE restore_notice (
    id       INTEGER NOT NULL PRIMARY KEY, -- rises: the order of events
    devices  INTEGER NOT NULL,             -- how many devices were ahead of this database
    first_ms INTEGER NOT NULL,             -- when the first of them was heard
    last_ms  INTEGER NOT NULL              -- when the last was; a quiet day after it, the next is another event
) STRICT;

-- What the zone serves at the component's wish, so that it can be rebuilt at start.
CREATE TABLE dns_record (
    kind       TEXT    NOT NULL        -- what it is:
        CHECK (kind IN (
            'txt',                     -- one value of a TXT set
            'label',                   -- a live label in address mode
            'address'                  -- one address of a name in word mode
        )),
    owner      TEXT    NOT NULL,       -- absolute, without the final dot
    value      TEXT    NOT NULL,       -- TXT value or address; empty for a label
    expires_ms INTEGER,                -- TXT only: dropped from then on
    PRIMARY KEY (kind, owner, value)
) STRICT, WITHOUT ROWID;
CREATE INDEX dns_record_expires ON dns_record (expires_ms) WHERE expires_ms IS NOT NULL;

-- Orders that went out to a CA, for the quota ledger.
CREATE TABLE quota_charge (
    id       INTEGER NOT NULL PRIMARY KEY,
    ca       TEXT    NOT NULL, -- the CA's name
    price    TEXT    NOT NULL  -- what it cost (docs/ACME.md, "three prices"):
        CHECK (price IN (
            'ari',             -- exempt from the CA's limits
            'renewal',         -- the same names again
            'first'            -- names never certified
        )),
    name_set TEXT    NOT NULL, -- the order's names, sorted, separated by spaces
    at_ms    INTEGER NOT NULL, -- when the order went out
    proved   INTEGER NOT NULL  -- whether the device showed something that strangers cannot have
        CHECK (proved IN (0, 1))
) STRICT;
CREATE INDEX quota_charge_ca ON quota_charge (ca, at_ms);
CREATE INDEX quota_charge_names ON quota_charge (ca, name_set, at_ms);

-- Subjects that the quota ledger told to wait.
CREATE TABLE quota_deferral (
    ca            TEXT    NOT NULL, -- the CA's name
    subject       TEXT    NOT NULL, -- who waits
    price         TEXT    NOT NULL, -- as in quota_charge
    not_before_ms INTEGER NOT NULL, -- until when
    proved        INTEGER NOT NULL  -- as in quota_charge
        CHECK (proved IN (0, 1)),
    PRIMARY KEY (ca, subject)
) STRICT, WITHOUT ROWID;

-- Facts about this database, one a key:
--   component_sha256  digest of the component that ran last, lower-case hexadecimal
--   component_since   since when that one runs, milliseconds since 1970
--   room              filler, for a moment after the disk was full: shows that there is room again
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY, -- see above
    value TEXT NOT NULL              -- see above
) STRICT, WITHOUT ROWID;

-- Numbers that only grow and outlive the process, for metrics.
CREATE TABLE counter (
    name  TEXT    NOT NULL PRIMARY KEY, -- stable word
    value INTEGER NOT NULL              -- how often it happened
) STRICT, WITHOUT ROWID;
