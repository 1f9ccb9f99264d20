using Forgetting.Backends;

namespace Forgetting.Training;

/// <summary>
/// Every setting of a tuning run. Defaults are the recipe of arXiv 2508.04329 where it states one. A setting's name in recipes and on the command
/// line is its property's in kebab case (<see cref="Recipe"/>); <see cref="SettingAttribute"/> holds the rest of what is known of it.
/// </summary>
public sealed partial record TrainingOptions
{
    /// <summary>Folder of the pretrained checkpoint.</summary>
    [Setting("pretrained checkpoint: a Hugging Face folder or a llama2.c .bin", Value = "PATH", MayChange = true)]
    public string Model { get; init; } = "";

    /// <summary>Folder of a PEFT adapter of the model; its ranks, scales and targets replace the settings of new ones.</summary>
    [Setting("PEFT adapter of the model to continue, instead of a new one", Value = "DIR", MayChange = true)]
    public string? Adapter { get; init; }

    /// <summary>JSON Lines file of training examples.</summary>
    [Setting("training examples, JSON Lines", Value = "FILE", MayChange = true)]
    public string Data { get; init; } = "";

    /// <summary>Folder that receives everything the run leaves.</summary>
    [Setting("folder for the tuned model and the run's records", Value = "DIR", MayChange = true, Identity = false)]
    public string Out { get; init; } = "";

    /// <summary>Which tokens are learnt, ignored or forgotten.</summary>
    [Setting("what is learnt and unlearnt: full, ignore, forget or lwf")]
    public TrainingMethod Method { get; init; } = TrainingMethod.Forget;

    /// <summary>Times the training set is passed through.</summary>
    [Setting("passes over the training set")]
    public int Epochs { get; init; } = 1;

    /// <summary>Optimiser steps; null: as many as <see cref="Epochs"/> make.</summary>
    [Setting("optimiser steps, instead of epochs")]
    public int? Steps { get; init; }

    /// <summary>Sequences per optimiser step.</summary>
    [Setting("sequences per optimiser step")]
    public int BatchSize { get; init; } = 24;

    /// <summary>Most tokens computed at once; bounds memory, not results.</summary>
    [Setting("tokens computed at once; bounds memory, not results")]
    public int MicroBatchTokens { get; init; } = 4096;

    /// <summary>Tokens kept of a sequence; longer ones are cut at the right.</summary>
    [Setting("tokens kept of a sequence, cut at the right", Resolved = true)]
    public int MaxLength { get; init; } = 2048;

    /// <summary>Peak learning rate.</summary>
    [Setting("peak learning rate")]
    public double LearningRate { get; init; } = 1e-4;

    /// <summary>How the learning rate falls after warm-up.</summary>
    [Setting("decay of the learning rate: linear, cosine or constant")]
    public LrScheduleKind LrSchedule { get; init; } = LrScheduleKind.Linear;

    /// <summary>Share of all steps in which the learning rate rises from 0.</summary>
    [Setting("share of the steps in which the learning rate rises")]
    public double WarmupRatio { get; init; } = 0.03;

    /// <summary>Decay of AdamW's first moment.</summary>
    [Setting("decay of AdamW's first moment")]
    public double AdamBeta1 { get; init; } = 0.9;

    /// <summary>Decay of AdamW's second moment.</summary>
    [Setting("decay of AdamW's second moment")]
    public double AdamBeta2 { get; init; } = 0.999;

    /// <summary>Added to the root of AdamW's second moment.</summary>
    [Setting("added to the root of AdamW's second moment")]
    public double AdamEpsilon { get; init; } = 1e-8;

    /// <summary>Decoupled weight decay of matrices; norms and biases have none.</summary>
    [Setting("AdamW's weight decay, on matrices only")]
    public double WeightDecay { get; init; }

    /// <summary>Largest norm of the whole gradient; 0: no clipping.</summary>
    [Setting("largest gradient norm, 0 for no clipping")]
    public double Clip { get; init; }

    /// <summary>Rank of the adapter; 0: all weights are trained.</summary>
    [Setting("rank of the LoRA adapter, 0 to train all weights")]
    public int LoraRank { get; init; } = 64;

    /// <summary>α of the adapter; its scale is α/r.</summary>
    [Setting("alpha of the LoRA adapter", Needs = "lora-rank|adapter")]
    public double LoraAlpha { get; init; } = 16;

    /// <summary>Dropout on the adapter's input.</summary>
    [Setting("dropout on the LoRA adapter's input", Needs = "lora-rank|adapter")]
    public double LoraDropout { get; init; } = 0.1;

    /// <summary>Scale α/√r instead of α/r (arXiv 2312.03732).</summary>
    [Setting("scale the adapter by alpha over the root of the rank", Needs = "lora-rank|adapter")]
    public bool LoraRankStabilized { get; init; }

    /// <summary>Names of the linear layers that get an adapter (<c>q_proj</c>, …); empty: every linear of every block.</summary>
    [Setting("linear layers with an adapter, separated by commas; all when empty", Value = "NAMES", Needs = "lora-rank|adapter")]
    public IReadOnlyList<string> LoraTargets { get; init; } = [];

    /// <summary>What response tokens are ranked by.</summary>
    [Setting("what tokens are ranked by: influence (base loss - reference loss, the paper's), reference (loss) or blend (0.9 base loss - reference loss)", Methods = MethodSet.Scoring, AlsoWith = "scores")]
    public ScoreKind Score { get; init; } = ScoreKind.Influence;

    /// <summary>Share of positive tokens ρ, or auto for Otsu's cut; null: 0.7, or the signs of <see cref="Scores"/> as they stand.</summary>
    [Setting("share of response tokens that are learnt, or auto to find it from the scores (Otsu's cut); 0.7, or as in the score file", Methods = MethodSet.Scoring, AlsoWith = "scores")]
    public Share? Rho { get; init; }

    /// <summary>Share of the response tokens, next in the ranking after those of <see cref="Rho"/>, that is neither learnt nor forgotten.</summary>
    [Setting("share of response tokens, next in the ranking after rho's, that is neither learnt nor forgotten", Methods = MethodSet.Scoring, AlsoWith = "scores")]
    public double IgnoreRho { get; init; }

    /// <summary>Score from which tokens are learnt, in nats, instead of <see cref="Rho"/>.</summary>
    [Setting("score in nats from which tokens are learnt, instead of rho; needs forget-below", Methods = MethodSet.Scoring, AlsoWith = "scores")]
    public double? LearnAbove { get; init; }

    /// <summary>Score below which tokens are forgotten, in nats; what lies between is ignored.</summary>
    [Setting("score in nats below which tokens are forgotten; those between are ignored", Methods = MethodSet.Scoring, AlsoWith = "scores")]
    public double? ForgetBelow { get; init; }

    /// <summary>What the negative term is divided by.</summary>
    [Setting("what the negative term is divided by: candidates (all tokens not learnt) or forgotten (those forgotten)", Methods = MethodSet.Forget)]
    public NegativeNormKind NegativeNorm { get; init; } = NegativeNormKind.Candidates;

    /// <summary>Whether tokens or whole sequences are ranked.</summary>
    [Setting("what is ranked: token or sequence", Methods = MethodSet.Scoring, AlsoWith = "scores")]
    public PartitionLevel Level { get; init; } = PartitionLevel.Token;

    /// <summary>How λ moves over the run.</summary>
    [Setting("how lambda moves: linear, constant or adaptive", Methods = MethodSet.Forget)]
    public LambdaKind Lambda { get; init; } = LambdaKind.Linear;

    /// <summary>λ at the first step.</summary>
    [Setting("lambda at the first step", Methods = MethodSet.Forget, Needs = "lambda=linear|lambda=adaptive")]
    public double LambdaMin { get; init; } = 1e-5;

    /// <summary>λ that the last step approaches.</summary>
    [Setting("lambda that the last step approaches", Methods = MethodSet.Forget)]
    public double LambdaMax { get; init; } = 0.25;

    /// <summary>With adaptive λ: the negative gradient's norm as a share of the positive one's that may not be passed (this project's choice).</summary>
    [Setting(
        "adaptive lambda: largest negative gradient norm over the positive one",
        Methods = MethodSet.Forget, Needs = "lambda=adaptive")]
    public double LambdaFraction { get; init; } = 0.5;

    /// <summary>With adaptive λ: steps between measurements of the two norms.</summary>
    [Setting("adaptive lambda: steps between measurements", Methods = MethodSet.Forget, Needs = "lambda=adaptive")]
    public int LambdaEvery { get; init; } = 10;

    /// <summary>What unlearning a negative token means at the logits.</summary>
    [Setting(
        "how a negative token is unlearnt: ascent, weighted, satimp, npo, hinge, unlikelihood, entropy or belief (as much as the base believed it)",
        Methods = MethodSet.Unlearning)]
    public AscentKind Ascent { get; init; } = AscentKind.Ascent;

    /// <summary>β of weighted, npo and belief, β₁ of satimp; null: the source's.</summary>
    [Setting("first exponent of a bounded ascent", Methods = MethodSet.Unlearning, Needs = "ascent=weighted|ascent=satimp|ascent=npo|ascent=belief")]
    public double? AscentBeta { get; init; }

    /// <summary>β₂ of satimp, γ of belief; null: the source's.</summary>
    [Setting("second exponent of satimp and belief", Methods = MethodSet.Unlearning, Needs = "ascent=satimp|ascent=belief")]
    public double? AscentBeta2 { get; init; }

    /// <summary>q of generalised cross-entropy on what is learnt (arXiv 1805.07836); 0: cross-entropy.</summary>
    [Setting("exponent q of generalised cross-entropy on what is learnt, 0 for cross-entropy")]
    public double GceQ { get; init; }

    /// <summary>Folder of a reference checkpoint.</summary>
    [Setting("reference checkpoint; else one is trained", Value = "PATH", Methods = MethodSet.Scoring, MayChange = true, Identity = false)]
    public string? Reference { get; init; }

    /// <summary>Examples to train the reference on.</summary>
    [Setting("examples to train the reference on, JSON Lines", Value = "FILE", Methods = MethodSet.Scoring, MayChange = true)]
    public string? ReferenceData { get; init; }

    /// <summary>Share of the data held out to train the reference on; the rest is the training set.</summary>
    [Setting("share of the data held out to train the reference on; a sixth where no other source of influence is given", Methods = MethodSet.Scoring)]
    public double? ReferenceFraction { get; init; }

    /// <summary>The examples that the reference is trained on are learnt too, all their tokens positive.</summary>
    [Setting("learn the reference's examples too", Methods = MethodSet.Scoring)]
    public bool LearnReference { get; init; }

    /// <summary>A score file made before.</summary>
    [Setting("score file made before", Value = "FILE", MayChange = true, Identity = false)]
    public string? Scores { get; init; }

    /// <summary>Files with the prompts of the tasks to forget; the model's own continuations of them are what is unlearnt.</summary>
    [Setting(
        "files with prompts of tasks to forget, for lwf, or beside negative tokens for forget",
        Value = "FILES", Methods = MethodSet.Unlearning, MayChange = true)]
    public IReadOnlyList<string> Forget { get; init; } = [];

    /// <summary>Self-generated samples made before, instead of <see cref="Forget"/>.</summary>
    [Setting("self-generated samples made before by elicit", Value = "FILE", Methods = MethodSet.Unlearning, MayChange = true)]
    public string? Elicited { get; init; }

    /// <summary>Most tokens of a self-generated sample.</summary>
    [Setting("most tokens of a self-generated sample", Methods = MethodSet.Unlearning, Needs = "forget")]
    public int MaxNewTokens { get; init; } = 128;

    /// <summary>Checkpoint after ordinary fine-tuning on the data, θ_L; null: one is trained.</summary>
    [Setting(
        "checkpoint after ordinary fine-tuning on the data; else one is trained",
        Value = "PATH", Methods = MethodSet.Unlearning, Needs = "forget|elicited", MayChange = true)]
    public string? Learned { get; init; }

    /// <summary>Fisher information made before.</summary>
    [Setting(
        "Fisher information made before by fisher",
        Value = "FILE", Methods = MethodSet.Unlearning, Needs = "forget|elicited", MayChange = true)]
    public string? Fisher { get; init; }

    /// <summary>Where the targets of the Fisher information come from.</summary>
    [Setting(
        "targets of the Fisher information: empirical (the data's) or true (the model's)",
        Methods = MethodSet.Unlearning, Needs = "forget|elicited")]
    public FisherKind FisherKind { get; init; } = FisherKind.Empirical;

    /// <summary>Examples for the Fisher information, drawn at random; null: all.</summary>
    [Setting(
        "examples for the Fisher information, drawn at random; all unless given",
        Methods = MethodSet.Unlearning, Needs = "forget|elicited")]
    public int? FisherExamples { get; init; }

    /// <summary>Forgetting confidences made before.</summary>
    [Setting(
        "forgetting confidences made before by confidence",
        Value = "FILE", Methods = MethodSet.Unlearning, Needs = "forget|elicited", MayChange = true)]
    public string? Confidence { get; init; }

    /// <summary>α of the forgetting confidence; null: <see cref="LearningRate"/> (this project's choice).</summary>
    [Setting(
        "step size alpha of the forgetting confidence; the learning rate unless given",
        Methods = MethodSet.Unlearning, Needs = "forget|elicited")]
    public double? Alpha { get; init; }

    /// <summary>Share of the samples that is unlearnt (this project's choice).</summary>
    [Setting("share of the self-generated samples that is unlearnt", Methods = MethodSet.Unlearning, Needs = "forget|elicited")]
    public double ForgetFraction { get; init; } = 0.25;

    /// <summary>Confidence from which samples are unlearnt, instead of <see cref="ForgetFraction"/>.</summary>
    [Setting("confidence from which samples are unlearnt, instead of a share", Methods = MethodSet.Unlearning, Needs = "forget|elicited")]
    public double? ForgetThreshold { get; init; }

    /// <summary>Which samples are unlearnt.</summary>
    [Setting("samples that are unlearnt, by confidence: high, low or random", Methods = MethodSet.Unlearning, Needs = "forget|elicited")]
    public SelectionKind Select { get; init; } = SelectionKind.High;

    /// <summary>When unlearning steps are taken.</summary>
    [Setting("when unlearning steps are taken: periodic, upfront or random", Methods = MethodSet.Unlearning, Needs = "forget|elicited")]
    public UnlearningScheduleKind Schedule { get; init; } = UnlearningScheduleKind.Periodic;

    /// <summary>Learning steps between unlearning steps (this project's choice).</summary>
    [Setting("learning steps between unlearning steps", Methods = MethodSet.Unlearning, Needs = "forget|elicited")]
    public int Interval { get; init; } = 10;

    /// <summary>Weight w of an unlearning step's objective (this project's choice).</summary>
    [Setting("weight of an unlearning step", Methods = MethodSet.Unlearning, Needs = "forget|elicited")]
    public double ForgetWeight { get; init; } = 0.05;

    /// <summary>Largest gradient norm of an unlearning step; 0: no clipping (this project's choice).</summary>
    [Setting("largest gradient norm of an unlearning step, 0 for no clipping", Methods = MethodSet.Unlearning, Needs = "forget|elicited")]
    public double ForgetClip { get; init; } = 1;

    /// <summary>Samples per unlearning step; null: <see cref="BatchSize"/>.</summary>
    [Setting(
        "samples per unlearning step; as many as a learning step's sequences unless given",
        Methods = MethodSet.Unlearning, Needs = "forget|elicited")]
    public int? ForgetBatchSize { get; init; }

    /// <summary>A further term of the objective of learning steps.</summary>
    [Setting("further term of the objective: none or bss (batch spectral shrinkage)")]
    public RegularizerKind Regularizer { get; init; } = RegularizerKind.None;

    /// <summary>η of batch spectral shrinkage.</summary>
    [Setting("weight of the regularizer", Needs = "regularizer=bss")]
    public double RegularizerWeight { get; init; } = 1e-3;

    /// <summary>k of batch spectral shrinkage.</summary>
    [Setting("smallest singular values that bss shrinks", Needs = "regularizer=bss")]
    public int RegularizerCount { get; init; } = 1;

    /// <summary>
    /// How messages become text (<see cref="Data.ExampleEncoder"/>): <c>tulu</c>, <c>plain</c>, <c>chat</c>, the path of a Jinja file, or <c>auto</c>: <c>chat</c> where the
    /// model has a template and <see cref="Compat"/> does not ask for the paper's, else <c>tulu</c>.
    /// </summary>
    [Setting(
        "how messages become text: tulu (the paper's), plain (no markers), chat (the model's own), a file with a chat template, or auto (chat where the model has one, else tulu)",
        Value = "NAME|FILE", Resolved = true)]
    public string Template { get; init; } = "auto";

    /// <summary>Time that a template's <c>strftime_now</c> tells, so that a run goes on as it began; null for the time at which it began.</summary>
    [Setting("time that a template's strftime_now tells; when the run began unless given", Value = "TIME", Identity = false, Resolved = true)]
    public string? TemplateDate { get; init; }

    /// <summary>Field of the prompt in the data, when it is not named <c>prompt</c>.</summary>
    [Setting("field of the prompt in the data")]
    public string? PromptField { get; init; }

    /// <summary>Field of the completion in the data, when it is not named <c>completion</c>.</summary>
    [Setting("field of the completion in the data")]
    public string? CompletionField { get; init; }

    /// <summary>Text of special tokens inside data becomes those tokens.</summary>
    [Setting("read special tokens' text in the data as those tokens")]
    public bool AllowSpecial { get; init; }

    /// <summary>Examples keep the order of the file.</summary>
    [Setting("keep the order of the file")]
    public bool NoShuffle { get; init; }

    /// <summary>Deviations from the method as written.</summary>
    [Setting("reproduce the paper's program: none or paper")]
    public Compatibility Compat { get; init; } = Compatibility.None;

    /// <summary>Steps between measurements of the two gradients' norms and cosine; 0: never. Each costs a second forward and backward pass.</summary>
    [Setting("steps between measurements of the two gradients, 0 for never", Methods = MethodSet.Scoring, AlsoWith = "scores", MayChange = true)]
    public int PartsEvery { get; init; }

    /// <summary>Benchmark tasks that the model in training is evaluated on.</summary>
    [Setting(
        "benchmark tasks to evaluate the model in training on, as eval names them; the best model is kept in model-best",
        Value = "NAMES")]
    public IReadOnlyList<string> EvalTasks { get; init; } = [];

    /// <summary>Steps between evaluations; 0: only after the last step.</summary>
    [Setting("steps between evaluations, 0 for only after the last; the last step always has one", Needs = "eval-tasks")]
    public int EvalEvery { get; init; }

    /// <summary>Folder with the benchmarks' files, or the one file that the tasks are to read.</summary>
    [Setting(
        "folder with the benchmarks' files, as eval's --data-dir",
        Value = "PATH", Needs = "eval-tasks", MayChange = true, Identity = false)]
    public string? EvalDataDir { get; init; }

    /// <summary>Folder with further tasks.</summary>
    [Setting("folder with .yaml files of further tasks", Value = "DIR", Needs = "eval-tasks", MayChange = true)]
    public string? EvalInclude { get; init; }

    /// <summary>First so many items of each task; below 1 that fraction of them; null: all.</summary>
    [Setting("first so many items of each task, or that fraction of them if below 1", Needs = "eval-tasks")]
    public double? EvalLimit { get; init; }

    /// <summary>Examples before each question; null: the task's own number.</summary>
    [Setting("examples before each question; the task's own number unless given", Needs = "eval-tasks")]
    public int? EvalNumFewshot { get; init; }

    /// <summary>Metric that decides which model is kept; null: the mean of each task's first.</summary>
    [Setting(
        "metric that decides which model is best: TASK/METRIC or METRIC; the mean of each task's first unless given",
        Value = "NAME", Needs = "eval-tasks")]
    public string? EvalMetric { get; init; }

    /// <summary>Which value of that metric is the best.</summary>
    [Setting("value of that metric that is best: auto (by the metric), high or low", Needs = "eval-tasks")]
    public BestKind EvalBest { get; init; } = BestKind.Auto;

    /// <summary>Steps between checkpoints; 0: only at the end and on interruption.</summary>
    [Setting("steps between checkpoints, 0 for only at the end", MayChange = true)]
    public int CheckpointEvery { get; init; } = 100;

    /// <summary>Checkpoints kept.</summary>
    [Setting("checkpoints kept", MayChange = true)]
    public int KeepCheckpoints { get; init; } = 2;

    /// <summary>Activations are computed again in the backward pass instead of kept.</summary>
    [Setting("compute activations again in the backward pass to save memory", MayChange = true)]
    public bool Recompute { get; init; }

    /// <summary>Seed of initialisation, order and dropout.</summary>
    [Setting("seed of initialisation, order and dropout", Identity = false)]
    public ulong Seed { get; init; } = 42;

    /// <summary>Device: auto, cpu, cuda, cuda:N or cuda-emu.</summary>
    [Setting("auto, cpu, cuda, cuda:N for card N, or cuda-emu", Value = "NAME", MayChange = true, Identity = false, Resolved = true)]
    public string Device { get; init; } = "auto";

    /// <summary>
    /// fp32 or bf16: on cuda and cuda-emu the storage type, on cpu the type of the operands of products with weights (sums, storage and
    /// everything else stay Float32); null for bf16 on a card, fp32 elsewhere.
    /// </summary>
    [Setting(
        "fp32 or bf16 (bf16 on a card): storage type on cuda and cuda-emu; on cpu type of the operands of products with weights, all else fp32",
        Value = "NAME", Resolved = true)]
    public string? Dtype { get; init; }

    /// <summary>Element type of the tuned model's weights in its files. Models that a run makes for itself stay exact whatever it says.</summary>
    [Setting("type of the written weights: source (the base's), fp32, bf16 or fp16", MayChange = true, Identity = false)]
    public SaveDtype SaveDtype { get; init; } = SaveDtype.Source;

    /// <summary>What computes products on the CPU: auto, managed or onednn; auto is managed, but with <see cref="Dtype"/> bf16 oneDNN where it is installed and the processor is faster in bf16.</summary>
    [Setting(
        "what computes products on the cpu: auto, managed or onednn (auto: managed, but for bf16 oneDNN where it is found and the processor is faster in bf16)",
        Value = "NAME", MayChange = true, Resolved = true)]
    public string Products { get; init; } = "auto";

    /// <summary>On a card every kernel is launched by itself, where otherwise passes over batches of a shape met before are replayed as a CUDA graph.</summary>
    [Setting("launch every kernel by itself instead of as CUDA graphs, for profilers", MayChange = true)]
    public bool NoCudaGraphs { get; init; }

    /// <summary>Whether self-generated samples of other tasks are unlearnt.</summary>
    internal bool Unlearns => Forget.Count > 0 || Elicited != null;

    /// <summary>Whether every response token is learnt, whatever its sign.</summary>
    internal bool LearnsAll => Method is TrainingMethod.Full or TrainingMethod.Lwf;

    /// <summary><see cref="Ascent"/> with its exponents.</summary>
    public Ascent ResolveAscent()
    {
        Ascent source = Backends.Ascent.Of(Ascent);
        return source with { Beta = (float?)AscentBeta ?? source.Beta, Beta2 = (float?)AscentBeta2 ?? source.Beta2, LearningPower = (float)GceQ };
    }
}
