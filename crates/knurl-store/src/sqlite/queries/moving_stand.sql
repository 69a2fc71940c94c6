-- ?1 role, ?2 move, ?3 other, ?4 state
insert into moving (role, move, other, state)
values (?1, ?2, ?3, ?4)
on conflict (role) do update
set move = excluded.move,
  other = excluded.other,
  state = excluded.state
