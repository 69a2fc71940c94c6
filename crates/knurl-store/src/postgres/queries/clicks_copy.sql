-- Rows in the binary format of COPY, as click_rows.rs writes them.
copy clicks (id, link_id, user_id, at, source, details)
from stdin (format binary)
