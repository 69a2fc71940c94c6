-- $1 domain, $2 short_code
-- The redirect's point read.
select id, domain, short_code, target, title, is_active, status, owner, expires_at, created_at, updated_at, deleted_at, version
from links
where domain = $1 and short_code = $2 and twin = 0 and deleted_at is null
