-- What a fetch reads of records that may be corrupt.

-- Return whether a text can be a type or a priority: the worker could not read a reply with anything else.
local function is_name(text)
  return text and not string.find(text, '[\128-\255]')
end
