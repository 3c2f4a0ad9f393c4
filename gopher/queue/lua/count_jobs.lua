-- Count ends of jobs, and redrives, in their batches. What was counted before changes nothing.
--
-- KEYS  1 prefix
-- ARGV  1 a packed list (MessagePack): id of a batch, id of a job, its state, its round, the queue that told it, ...; of a job that
--       is moved the state is `moved`, the round the number of its step, and the queue where it goes, or where it is
-- Returns  how many were news, and ids of batches that are not known here

allow_when_full()
local news, missing, is_known = 0, {}, {}
local rows = cmsgpack.unpack(ARGV[1])
for i = 1, #rows, 5 do
  local id = rows[i]
  if is_known[id] == nil then
    is_known[id] = redis.call('HEXISTS', P .. KEY.batch .. id, 'created') == 1
    if not is_known[id] then
      missing[#missing + 1] = id
    end
  end
  if is_known[id] and rows[i + 2] == MOVED then
    note_step(id, unpack(rows, i + 1, i + 4))
  elseif is_known[id] and count_job(id, unpack(rows, i + 1, i + 4)) then
    news = news + 1
  end
end
write_batches()
return { news, unpack(missing, 1, 100) }
