"""A paragraph or two in each of seventeen languages, from which `language_id.py` learns them.

The preamble of the Universal Declaration of Human Rights (United Nations 1948), whose translations
are free to reproduce. The keys are ISO 639-1 codes. About 1,300 characters each, and 480 of
Chinese, Japanese and Thai.
"""

# fmt: off
SAMPLES = {
    "ar": (
        'لمّا كان الاعتراف بالكرامة المتأصلة في جميع أعضاء الأسرة البشرية وبحقوقهم المتساوية الثابتة هو أساس '
        'الحرية والعدل والسلام في العالم. ولما كان تناسي حقوق الإنسان وازدراؤها قد أفضيا إلى أعمال همجية آذت '
        'الضمير الإنساني. وكان غاية ما يرنو إليه عامة البشر انبثاق عالم يتمتع فيه الفرد بحرية القول والعقيدة '
        'ويتحرر من الفزع والفاقة. ولما كان من الضروري أن يتولى القانون حماية حقوق الإنسان لكيلا يضطر المرء '
        'آخر الأمر إلى التمرد على الاستبداد والظلم. ولما كانت شعوب الأمم المتحدة قد أكدت في الميثاق من جديد '
        'إيمانها بحقوق الإنسان الأساسية وبكرامة الفرد وقدره وبما للرجال والنساء من حقوق متساوية وحزمت أمرها '
        'على أن تدفع بالرقي الاجتماعي قدمًا وأن ترفع مستوى الحياة في جو من الحرية أفسح. ولما كانت الدول '
        'الأعضاء قد تعهدت بالتعاون مع الأمم المتحدة على ضمان إطراد مراعاة حقوق الإنسان والحريات الأساسية '
        'واحترامها. ولما كان للإدراك العام لهذه الحقوق والحريات الأهمية الكبرى للوفاء التام بهذا التعهد. على '
        'أنه المستوى المشترك الذي ينبغي أن تستهدفه كافة الشعوب والأمم حتى يسعى كل فرد وهيئة في المجتمع، '
        'واضعين على الدوام هذا الإعلان نصب أعينهم، إلى توطيد احترام هذه الحقوق والحريات عن طريق التعليم '
        'والتربية واتخاذ إجراءات مطردة، قومية وعالمية، لضمان الإعتراف بها ومراعاتها بصورة عالمية فعالة بين '
        'الدول الأعضاء ذاتها وشعوب البقاع الخاضعة لسلطانها. يولد جميع الناس أحرارًا متساوين في الكرامة '
        'والحقوق. وقد وهبوا عقلاً وضميرًا وعليهم أن يعامل بعضهم بعضًا بروح الإخاء.'),
    "de": (
        'Da die Anerkennung der angeborenen Würde und der gleichen und unveräußerlichen Rechte aller '
        'Mitglieder der Gemeinschaft der Menschen die Grundlage von Freiheit, Gerechtigkeit und Frieden in '
        'der Welt bildet, da die Nichtanerkennung und Verachtung der Menschenrechte zu Akten der Barbarei '
        'geführt haben, die das Gewissen der Menschheit mit Empörung erfüllen, und da verkündet worden ist, '
        'dass einer Welt, in der die Menschen Rede‐ und Glaubensfreiheit und Freiheit von Furcht und Not '
        'genießen, das höchste Streben des Menschen gilt, da es notwendig ist, die Menschenrechte durch die '
        'Herrschaft des Rechtes zu schützen, damit der Mensch nicht gezwungen wird, als letztes Mittel zum '
        'Aufstand gegen Tyrannei und Unterdrückung zu greifen, da es notwendig ist, die Entwicklung '
        'freundschaftlicher Beziehungen zwischen den Nationen zu fördern, da die Völker der Vereinten '
        'Nationen in der Charta ihren Glauben an die grundlegenden Menschenrechte, an die Würde und den Wert '
        'der menschlichen Person und an die Gleichberechtigung von Mann und Frau erneut bekräftigt und '
        'beschlossen haben, den sozialen Fortschritt und bessere Lebensbedingungen in größerer Freiheit zu '
        'fördern, da die Mitgliedstaaten sich verpflichtet haben, in Zusammenarbeit mit den Vereinten '
        'Nationen auf die allgemeine Achtung und Einhaltung der Menschenrechte und Grundfreiheiten '
        'hinzuwirken,'),
    "el": (
        'Επειδή η αναγνώριση της αξιοπρέπειας, που είναι σύμφυτη σε όλα τα μέλη της ανθρώπινης οικογένειας, '
        'καθώς και των ίσων και αναπαλλοτρίωτων δικαιωμάτων τους αποτελεί το θεμέλιο της ελευθερίας, της '
        'δικαιοσύνης και της ειρήνης στον κόσμο. Επειδή η παραγνώριση και η περιφρόνηση των δικαιωμάτων του '
        'ανθρώπου οδήγησαν σε πράξεις βαρβαρότητας, που εξεγείρουν την ανθρώπινη συνείδηση, και η προοπτική '
        'ενός κόσμου όπου οι άνθρωποι θα είναι ελεύθεροι να μιλούν και να πιστεύουν, λυτρωμένοι από τον τρόμο'
        ' και την αθλιότητα, έχει διακηρυχθεί ως η πιο υψηλή επιδίωξη του ανθρώπου. Επειδή έχει ουσιαστική '
        'σημασία να προστατεύονται τα ανθρώπινα δικαιώματα από ένα καθεστώς δικαίου, ώστε ο άνθρωπος να μην '
        'αναγκάζεται να προσφεύγει, ως έσχατο καταφύγιο, στην εξέγερση κατά της τυραννίας και της καταπίεσης.'
        ' Επειδή έχει ουσιαστική σημασία να ενθαρρύνεται η ανάπτυξη φιλικών σχέσεων ανάμεσα στα έθνη. Επειδή,'
        ' με τον καταστατικό Χάρτη, οι λαοί των Ηνωμένων Εθνών διακήρυξαν και πάλι την πίστη τους στα '
        'θεμελιακά δικαιώματα του ανθρώπου, στην αξιοπρέπεια και την αξία της ανθρώπινης προσωπικότητας, στην'
        ' ισότητα δικαιωμάτων ανδρών και γυναικών, και διακήρυξαν πως είναι αποφασισμένοι να συντελέσουν στην'
        ' κοινωνική πρόοδο και να δημιουργήσουν καλύτερες συνθήκες ζωής στα πλαίσια μιας ευρύτερης '
        'ελευθερίας.'),
    "en": (
        'Whereas recognition of the inherent dignity and of the equal and inalienable rights of all members '
        'of the human family is the foundation of freedom, justice and peace in the world, Whereas disregard '
        'and contempt for human rights have resulted in barbarous acts which have outraged the conscience of '
        'mankind, and the advent of a world in which human beings shall enjoy freedom of speech and belief '
        'and freedom from fear and want has been proclaimed as the highest aspiration of the common people, '
        'Whereas it is essential, if man is not to be compelled to have recourse, as a last resort, to '
        'rebellion against tyranny and oppression, that human rights should be protected by the rule of law, '
        'Whereas it is essential to promote the development of friendly relations between nations, Whereas '
        'the peoples of the United Nations have in the Charter reaffirmed their faith in fundamental human '
        'rights, in the dignity and worth of the human person and in the equal rights of men and women and '
        'have determined to promote social progress and better standards of life in larger freedom, Whereas '
        'Member States have pledged themselves to achieve, in co‐operation with the United Nations, the '
        'promotion of universal respect for and observance of human rights and fundamental freedoms,'),
    "es": (
        'Considerando que la libertad, la justicia y la paz en el mundo tienen por base el reconocimiento de '
        'la dignidad intrínseca y de los derechos iguales e inalienables de todos los miembros de la familia '
        'humana; Considerando que el desconocimiento y el menosprecio de los derechos humanos han originado '
        'actos de barbarie ultrajantes para la conciencia de la humanidad, y que se ha proclamado, como la '
        'aspiración más elevada del hombre, el advenimiento de un mundo en que los seres humanos, liberados '
        'del temor y de la miseria, disfruten de la libertad de palabra y de la libertad de creencias; '
        'Considerando esencial que los derechos humanos sean protegidos por un régimen de Derecho, a fin de '
        'que el hombre no se vea compelido al supremo recurso de la rebelión contra la tiranía y la opresión;'
        ' Considerando también esencial promover el desarrollo de relaciones amistosas entre las naciones; '
        'Considerando que los pueblos de las Naciones Unidas han reafirmado en la Carta su fe en los derechos'
        ' fundamentales del hombre, en la dignidad y el valor de la persona humana y en la igualdad de '
        'derechos de hombres y mujeres, y se han declarado resueltos a promover el progreso social y a elevar'
        ' el nivel de vida dentro de un concepto más amplio de la libertad;'),
    "fr": (
        'Considérant que la reconnaissance de la dignité inhérente à tous les membres de la famille humaine '
        'et de leurs droits égaux et inaliénables constitue le fondement de la liberté, de la justice et de '
        'la paix dans le monde, Considérant que la méconnaissance et le mépris des droits de l’homme ont '
        'conduit à des actes de barbarie qui révoltent la conscience de l’humanité et que l’avènement d’un '
        'monde où les êtres humains seront libres de parler et de croire, libérés de la terreur et de la '
        'misère, a été proclamé comme la plus haute aspiration de l’homme, Considérant qu’il est essentiel '
        'que les droits de l’homme soient protégés par un régime de droit pour que l’homme ne soit pas '
        'contraint, en suprême recours, à la révolte contre la tyrannie et l’oppression, Considérant qu’il '
        'est essentiel d’encourager le développement de relations amicales entre nations, Considérant que '
        'dans la Charte les peuples des Nations Unies ont proclamé à nouveau leur foi dans les droits '
        'fondamentaux de l’homme, dans la dignité et la valeur de la personne humaine, dans l’égalité des '
        'droits des hommes et des femmes, et qu’ils se sont déclarés résolus à favoriser le progrès social et'
        ' à instaurer de meilleures conditions de vie dans une liberté plus grande, Considérant que les États'
        ' Membres se sont engagés à assurer, en coopération avec l’Organisation des Nations Unies, le respect'
        ' universel et effectif des droits de l’homme et des libertés fondamentales,'),
    "hi": (
        'चूंकि मानव परिवार के सभी सदस्यों के जन्मजात गौरव और समान तथा अविच्छिन्न अधिकार की स्वीकृति ही '
        'विश्व-शान्ति, न्याय और स्वतन्त्रता की बुनियाद है, चूंकि मानव अधिकारों के प्रति उपेक्षा और घृणा के '
        'फलस्वरूप ही ऐसे बर्बर कार्य हुए जिनसे मनुष्य की आत्मा पर अत्याचार किया गया, चूंकि एक ऐसी '
        'विश्व-व्यवस्था की उस स्थापना को ( जिसमें लोगों को भाषण और धर्म की आज़ादी तथा भय और अभाव से मुक्ति '
        'मिलेगी ) सर्वसाधारण के लिए सर्वोच्च आकांक्षा घोषित किया गया है, चूंकि अगर अन्याययुक्त शासन और जुल्म '
        'के विरुद्घ लोगों को विद्रोह करने के लिए—उसे ही अन्तिम उपाय समझ कर—मजबूर नहीं हो जाना है, तो कानून '
        'द्वारा नियम बनाकर मानव अधिकारों की रक्षा करना अनिवार्य है, चूंकि राष्ट्रों के बीच मैत्रीपूर्ण '
        'सम्बन्धों को बढ़ाना ज़रूरी है, चूंकि संयुक्त राष्ट्रों के सदस्य देशों की जनताओं ने बुनियादी मानव '
        'अधिकारों में, मानव व्यक्तित्व के गौरव और योग्यता में और नरनारियों के समान अधिकारों में अपने विश्वास '
        'को अधिकार-पत्र में दुहराया है और यह निश्चय किया है कि अधिक व्यापक स्वतन्त्रता के अन्तर्गत सामाजिक '
        'प्रगति एवं जीवन के बेहतर स्तर को ऊंचा किया जाया, चूंकि सदस्य देशों ने यह प्रतिज्ञा को है कि वे '
        'संयुक्त राष्ट्रों के सहयोग से मानव अधिकारों और बुनियादी आज़ादियों के प्रति सार्वभौम सम्मान की वृद्घि'
        ' करेंगे, चूंकि इस प्रतिज्ञा को पूरी तरह से निभाने के लिए इन अधिकारों और आज़ादियों का स्वरूप ठीक-ठीक '
        'समझना सबसे अधिक ज़रूरी है । इसलिए, अब,'),
    "id": (
        'Menimbang bahwa pengakuan atas martabat alamiah dan hak-hak yang sama dan mutlak dari semua anggota '
        'keluarga manusia adalah dasar kemerdekaan, keadilan dan perdamaian di dunia, Menimbang bahwa '
        'mengabaikan dan memandang rendah hak-hak asasi manusia telah mengakibatkan perbuatan-perbuatan '
        'bengis yang menimbulkan rasa kemarahan hati nurani umat manusia, dan terbentuknya suatu dunia tempat'
        ' manusia akan mengecap kenikmatan kebebasan berbicara dan beragama serta kebebasan dari ketakutan '
        'dan kekurangan telah dinyatakan sebagai cita-cita tertinggi dari rakyat biasa, Menimbang bahwa '
        'hak-hak asasi manusia perlu dilindungi oleh peraturan hukum supaya orang tidak akan terpaksa memilih'
        ' pemberontakan sebagai usaha terakhir guna menentang kelaliman dan penindasan, Menimbang bahwa '
        'pembangunan hubungan persahabatan antara negara-negara perlu digalakkan, Menimbang bahwa '
        'bangsa-bangsa dari Perserikatan Bangsa-Bangsa sekali lagi telah menyatakan di dalam Piagam '
        'Perserikatan Bangsa-Bangsa kepercayaan mereka akan hak-hak dasar dari manusia, akan martabat dan '
        'nilai seseorang manusia dan akan hak-hak yang sama dari pria maupun wanita, dan telah bertekad untuk'
        ' menggalakkan kemajuan sosial dan taraf hidup yang lebih baik di dalam kemerdekaan yang lebih luas,'),
    "it": (
        'Considerato che il riconoscimento della dignità inerente a tutti i membri della famiglia umana e dei'
        ' loro diritti, uguali ed inalienabili, costituisce il fondamento della libertà, della giustizia e '
        'della pace nel mondo; Considerato che il disconoscimento e il disprezzo dei diritti umani hanno '
        "portato ad atti di barbarie che offendono la coscienza dell'umanità, e che l'avvento di un mondo in "
        'cui gli esseri umani godano della libertà di parola e di credo e della libertà dal timore e dal '
        "bisogno è stato proclamato come la più alta aspirazione dell'uomo; Considerato che è indispensabile "
        "che i diritti umani siano protetti da norme giuridiche, se si vuole evitare che l'uomo sia costretto"
        " a ricorrere, come ultima istanza, alla ribellione contro la tirannia e l'oppressione; Considerato "
        'che è indispensabile promuovere lo sviluppo di rapporti amichevoli tra le Nazioni; Considerato che i'
        ' popoli delle Nazioni Unite hanno riaffermato nello Statuto la loro fede nei diritti umani '
        "fondamentali, nella dignità e nel valore della persona umana, nell'uguaglianza dei diritti dell'uomo"
        ' e della donna, ed hanno deciso di promuovere il progresso sociale e un miglior tenore di vita in '
        'una maggiore libertà; Considerato che gli Stati membri si sono impegnati a perseguire, in '
        "cooperazione con le Nazioni Unite, il rispetto e l'osservanza universale dei diritti umani e delle "
        'libertà fondamentali;'),
    "ja": (
        '『世界人権宣言』 〈前文〉 人類社会のすべての構成員の固有の尊厳と平等で譲ることのできない権利とを承'
        '認することは、世界における自由、正義及び平和の基礎であるので、 人権の無視及び軽侮が、人類の良心を踏'
        'みにじった野蛮行為をもたらし、言論及び信仰の自由が受けられ、恐怖及び欠乏のない世界の到来が、一般の人'
        '々の最高の願望として宣言されたので、 人間が専制と圧迫とに対する最後の手段として反逆に訴えることがな'
        'いようにするためには、法の支配によって人権を保護することが肝要であるので、 諸国間の友好関係の発展を'
        '促進することが肝要であるので、国際連合の諸国民は、国連憲章において、基本的人権、人間の尊厳及び価値並'
        'びに男女の同権についての信念を再確認し、かつ、一層大きな自由のうちで社会的進歩と生活水準の向上とを促'
        '進することを決意したので、 加盟国は、国際連合と協力して、人権及び基本的自由の普遍的な尊重及び遵守の'
        '促進を達成することを誓約したので、 これらの権利及び自由に対する共通の理解は、この誓約を完全にするた'
        'めにもっとも重要であるので、'),
    "nl": (
        'Overwegende, dat erkenning van de inherente waardigheid en van de gelijke en onvervreemdbare rechten'
        ' van alle leden van de mensengemeenschap grondslag is voor de vrijheid, gerechtigheid en vrede in de'
        ' wereld; Overwegende, dat terzijdestelling van en minachting voor de rechten van de mens geleid '
        'hebben tot barbaarse handelingen, die het geweten van de mensheid geweld hebben aangedaan en dat de '
        'komst van een wereld, waarin de mensen vrijheid van meningsuiting en geloof zullen genieten, en vrij'
        ' zullen zijn van vrees en gebrek, is verkondigd als het hoogste ideaal van iedere mens; Overwegende,'
        ' dat het van het grootste belang is, dat de rechten van de mens beschermd worden door de suprematie '
        'van het recht, opdat de mens niet gedwongen worde om in laatste instantie zijn toevlucht te nemen '
        'tot opstand tegen tyrannie en onderdrukking; Overwegende, dat het van het grootste belang is om de '
        'ontwikkeling van vriendschappelijke betrekkingen tussen de naties te bevorderen; Overwegende, dat de'
        ' volkeren van de Verenigde Naties in het Handvest hun vertrouwen in de fundamentele rechten van de '
        'mens, in de waardigheid en de waarde van de mens en in de gelijke rechten van mannen en vrouwen '
        'opnieuw hebben bevestigd, en besloten hebben om sociale vooruitgang en een hogere levensstandaard in'
        ' groter vrijheid te bevorderen;'),
    "pt": (
        'Considerando que o reconhecimento da dignidade inerente a todos os membros da família humana e dos '
        'seus direitos iguais e inalienáveis constitui o fundamento da liberdade, da justiça e da paz no '
        'mundo; Considerando que o desconhecimento e o desprezo dos direitos humanos conduziram a actos de '
        'barbárie que revoltam a consciência da Humanidade e que o advento de um mundo em que os seres '
        'humanos sejam livres de falar e de crer, libertos do terror e da miséria, foi proclamado como a mais'
        ' alta inspiração do ser humano; Considerando que é essencial a protecção dos direitos humanos '
        'através de um regime de direito, para que os seres humanos não sejam compelidos, em supremo recurso,'
        ' à revolta contra a tirania e a opressão; Considerando que é essencial encorajar o desenvolvimento '
        'de relações amistosas entre as nações; Considerando que, na Carta, os povos das Nações Unidas '
        'proclamam, de novo, a sua fé nos direitos fundamentais dos seres humanos, na dignidade e no valor da'
        ' pessoa humana, na igualdade de direitos dos homens e das mulheres e se declararam resolvidos a '
        'favorecer o progresso social e a instaurar melhores condições de vida dentro de uma liberdade mais '
        'ampla; Considerando que os Estados membros se comprometeram a promover, em cooperação com a '
        'Organização das Nações Unidas, o respeito universal e efectivo dos direitos humanos e das liberdades'
        ' fundamentais;'),
    "ru": (
        'Принимая во внимание, что признание достоинства, присущего всем членам человеческой семьи, и равных '
        'и неотъемлемых прав их является основой свободы, справедливости и всеобщего мира; и принимая во '
        'внимание, что пренебрежение и презрение к правам человека привели к варварским актам, которые '
        'возмущают совесть человечества, и что создание такого мира, в котором люди будут иметь свободу слова'
        ' и убеждений и будут свободны от страха и нужды, провозглашено как высокое стремление людей; и '
        'принимая во внимание, что необходимо, чтобы права человека охранялись властью закона в целях '
        'обеспечения того, чтобы человек не был вынужден прибегать, в качестве последнего средства, к '
        'восстанию против тирании и угнетения; и принимая во внимание, что необходимо содействовать развитию '
        'дружественных отношений между народами; и принимая во внимание, что народы Объединенных Наций '
        'подтвердили в Уставе свою веру в основные права человека, в достоинство и ценность человеческой '
        'личности и в равноправие мужчин и женщин и решили содействовать социальному прогрессу и улучшению '
        'условий жизни при большей свободе; и принимая во внимание, что государства-члены обязались '
        'содействовать, в сотрудничестве с Организацией Объединенных Наций, всеобщему уважению и соблюдению '
        'прав человека и основных свобод; и'),
    "sw": (
        'UMOJA WA MATAIFA OFISI YA IDARA YA HABARI TAARIFA YA ULIMWENGU JUU YA HAKI ZA BINADAMU Kwa kuwa '
        'kukiri heshima ya asili na haki sawa kwa binadamu wote ndio msingi wa uhuru, haki na amani duniani, '
        'Kwa kuwa kutojali na kudharau haki za binadamu kumeletea vitendo vya kishenzi ambavyo vimeharibu '
        'dhamiri ya binadamu na kwa sababu taarifa ya ulimwengu ambayo itawafanya binadamu wafurahie uhuru '
        'wao wa kusema, kusadiki na wa kutoogopa cho chote imekwisha kutangazwa kwamba ndio hamu kuu ya watu '
        'wote, Kwa kuwa ni lazima, ili mtu asishurutizwe kuomba msaada kutokana na maasi ya kupinga dhuluma '
        'na uonevu, kwamba haki za binadamu ziwe chini ya ulinzi wa sheria, Kwa kuwa ni lazima kabisa '
        'kuendeleza uhusiano wa kirafiki kati ya mataifa, Kwa kuwa watu wa Umoja wa Mataifa wamethibitisha '
        'tena katika Mkataba wao imani yao katika haki za asili, heshima na thamani ya binadamu na katika '
        'usawa wa haki kwa wanaume na wanawake, na kwa sababu wamekata shauri la kuendeleza mambo ya starehe '
        'na hali bora za maisha ya watu kwa kuwa na uhuru zaidi, Kwa kuwa Nchi zilizo Wanachama zimeahidi, '
        'kwa kushirikiana na Umoja wa Mataifa, kukuza na kuheshimu haki za binadamu na uhuru wake wa asili, '
        'Kwa kuwa kuzitambua haki hizi na uhuru huu ni jambo la maana sana kua kutimiza ahadi hiyo,'),
    "th": (
        'โดยที่การยอมรับนับถือเกียรติศักดิ์ประจำตัว และสิทธิเท่าเทียมกันและโอนมิได้ของบรรดา สมาชิกทั้งหลายแห่งครอบครัวมนุษย์'
        'เป็นหลักมูลเหตุแห่งอิสรภาพ ความยุติธรรม และสันติภาพในโลก โดยที่การไม่นำพาและการเหยียดหยามต่อสิทธิมนุษยชน '
        'ยังผลให้มีการกระทำอันป่าเถื่อน ซึ่งเป็นการละเมิดมโนธรรมของมนุษยชาติอย่างร้ายแรง '
        'มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ต่างมีเหตุผลและมโนธรรม '
        'และควรปฏิบัติต่อกันด้วยเจตนารมณ์แห่งภราดรภาพ บุคคลมีสิทธิในการดำรงชีวิต ในเสรีภาพและในความมั่นคงแห่งร่างกาย'),
    "tr": (
        'İnsanlık ailesinin bütün üyelerinde bulunan haysiyetin ve bunların eşit ve devir kabul etmez '
        'haklarının tanınması hususunun, hürriyetin, adaletin ve dünya barışının temeli olmasına, İnsan '
        'haklarının tanınmaması ve hor görülmesinin insanlık vicdanını isyana sevkeden vahşiliklere sebep '
        'olmuş bulunmasına, dehşetten ve yoksulluktan kurtulmuş insanların, içinde söz ve inanma '
        'hürriyetlerine sahip olacakları bir dünyanın kurulması en yüksek amaçları oralak ilan edilmiş '
        'bulunmasına, İnsanin zulüm ve baskıya karşı son çare olarak ayaklanmaya mecbur kalmaması için insan '
        'haklarının bir hukuk rejimi ile korunmasının esaslı bir zaruret olmasına, Uluslararasında dostça '
        'ilişkiler geliştirilmesini teşvik etmenin esaslı bir zaruret olmasına, Birleşmiş Milletler '
        'halklarının, Antlaşmada, insanın ana haklarına, insan şahsının haysiyet ve değerine, erkek ve '
        'kadınların eşitliğine olan imanlarını bir kere daha ilan etmiş olmalarına ve sosyal ilerlemeyi '
        'kolaylaştırmaya, daha geniş bir hürriyet içerisinde daha iyi hayat şartları kurmaya karar '
        'verdiklerini beyan etmiş bulunmalarına, Üye devletlerin, Birleşmiş Milletler Teşkilatı ile işbirliği'
        ' ederek insan haklarına ve ana hürriyetlerine bütün dünyada gerçekten saygı gösterilmesinin teminini'
        ' taahhüt etmiş olmalarına,'),
    "zh": (
        '世界人权宣言 序言 鉴于对人类家庭所有成员的固有尊严及其平等的和不移的权利的承认,乃是世界自由、正义'
        '与和平的基础, 鉴于对人权的无视和侮蔑已发展为野蛮暴行,这些暴行玷污了人类的良心,而一个人人享有言论'
        '和信仰自由并免予恐惧和匮乏的世界的来临,已被宣布为普通人民的最高愿望, 鉴于为使人类不致迫不得已铤而'
        '走险对暴政和压迫进行反叛,有必要使人权受法治的保护, 鉴于有必要促进各国间友好关系的发展, 鉴于各联'
        '合国国家的人民已在联合国宪章中重申他们对基本人权、人格尊严和价值以及男女平等权利的信念,并决心促成较'
        '大自由中的社会进步和生活水平的改善, 鉴于各会员国业已誓愿同联合国合作以促进对人权和基本自由的普遍尊'
        '重和遵行, 鉴于对这些权利和自由的普遍了解对于这个誓愿的充分实现具有很大的重要性, 因此现在,大会,'
        '发布这一世界人权宣言,作为所有人民和所有国家努力实现的共同标准,以期每一个人和社会机构经常铭念本宣言'
        ',努力通过教诲和教育促进对权利和自由的尊重,并通过国家的和国际的渐进措施,使这些权利和自由在各会员国'
        '本身人民及在其管辖下领土的人民中得到普遍和有效的承认和遵行;'),
}
# fmt: on
