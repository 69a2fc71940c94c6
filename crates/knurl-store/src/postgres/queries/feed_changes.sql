-- $1 transaction, $2 id: above these; $3 below this transaction; $4 limit
-- Ordered by the table's column: `changed_xid` alone would be the text that is selected under this name, in whose order 1000 comes before 999
-- and for which there is no index.
select id, domain, short_code, twin, target, is_active, status, owner, expires_at, deleted_at is not null, version, changed_xid::text
from links
where (changed_xid, id) > ($1::text::xid8, $2::bigint)
  and changed_xid < $3::text::xid8
order by links.changed_xid, links.id
limit $4
