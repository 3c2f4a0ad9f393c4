local CORRUPT_KEPT = 1000 -- ids of corrupt records that are remembered

local function note_corrupt(id)
  if redis.call('SCARD', P .. KEY.corrupt) < CORRUPT_KEPT then
    redis.call('SADD', P .. KEY.corrupt, id)
  end
end

-- Read fields of a job's record. If that is not a hash any more, all of them are nil and its id is noted, so that no
-- other job has to wait behind it. Returns the fields, and whether the record is corrupt.
local function read_record(id, ...)
  local fields = redis.pcall('HMGET', P .. KEY.job .. id, ...)
  if not fields.err then
    return fields, false
  end
  note_corrupt(id)
  return {}, true
end
