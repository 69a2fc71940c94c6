-- ?1 ids, a JSON array. Deleted ones too
select id, short_code, owner
from links
where id in (select value from json_each(?1))
