-- ?1 link, ?2 day, ?3 host, ?4 total
insert into link_shares (link_id, dimension, day, value, total)
values (?1, 0, ?2, ?3, ?4)
on conflict (link_id, dimension, day, value) do update
set total = excluded.total
