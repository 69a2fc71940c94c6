-- ?1 link, ?2 dimension, ?3 day, ?4 value, ?5 total
insert into link_shares (link_id, dimension, day, value, total)
values (?1, ?2, ?3, ?4, ?5)
