-- $1 ids; deleted ones too
select id, domain, short_code, target, title, is_active, status, owner, expires_at, created_at, updated_at, deleted_at, version
from links
where id = any($1)
