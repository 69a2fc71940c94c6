-- $1 id. Nobody else changes it until the transaction ends.
select id, domain, short_code, target, title, is_active, status, owner, expires_at, created_at, updated_at, deleted_at, version
from links
where id = $1 and deleted_at is null
for no key update
