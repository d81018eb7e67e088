"""From clips to rows: options, probing, rounds of sampling, and the journal that lets a killed run go on."""
